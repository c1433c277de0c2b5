"""The contract between a search and what it searches: one word a beam in, logits of the next word out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import LogitsProcessor


class SearchStep(Protocol):
    """Reads one more word of every beam; it remembers the words before."""

    def __call__(self, words: Tensor, parents: Tensor | None) -> Tensor:
        """Compute the logits of the next words.

        Args:
            words: ``[B, K]``, the newest word of each beam.
            parents: ``[B, K]``, the beam of the last call that each beam continues; None at the first call.

        Returns:
            ``[B, K, V]``.
        """
        ...


class Hypotheses(NamedTuple):
    """One text a clip, or the best R of each, the best first."""

    ids: Tensor  # [B, T] or [B, R, T], without the opening word; from the first end word on filled with it
    scores: Tensor  # [B] or [B, R] float32; what it is, the search says


class Search(ABC):
    """A way to find a likely text. The settings have the names of :class:`avcap.types.Generation`."""

    @abstractmethod
    def __call__(self, step: SearchStep, *, bos: Tensor, eos: int, settings: Mapping[str, Any]) -> Hypotheses:
        """Search for texts.

        Args:
            step: What is searched; each of its calls reads one word a beam.
            bos: Opening words ``[B]``.
            eos: The word that ends a text.
            settings: ``max_new_tokens`` (the end word is counted) and what the search reads besides.
        """

    def nbest(self, step: SearchStep, *, bos: Tensor, eos: int, settings: Mapping[str, Any], count: int) -> Hypotheses:
        """Return the best ``count`` texts of each clip, all different, in the order in which the search ranks them.

        Args:
            step: See :meth:`__call__`, as all but the last.
            bos: Opening words ``[B]``.
            eos: The word that ends a text.
            settings: As there.
            count: Texts a clip, at most ``num_beams``.

        Returns:
            Texts ``[B, count, T]`` with their mean log probabilities a word, the word that closes a text counted. Where there
            are fewer texts the score is minus infinity.

        Raises:
            ValueError: if the search keeps one text only.
        """
        raise ValueError(
            f"{type(self).__name__} keeps one text a clip; for n-best lists choose a beam search, and do_sample: false."
        )


class LogitRules:
    """Changes to logits that settings ask for, applied before they become probabilities.

    ``no_repeat`` is a rule of GIT's code: from the second word on, the logit of the word before is
    -10000. The others are those of Hugging Face, in its order.

    Args:
        settings: ``repetition_penalty``, ``no_repeat_ngram_size``, ``min_new_tokens``, ``no_repeat``, and for sampling
            ``temperature``, ``top_k``, ``top_p``.
        eos: The word that ends a text.
        device: Where the logits are.
    """

    def __init__(self, settings: Mapping[str, Any], *, eos: int, device: torch.device) -> None:
        self.no_repeat = bool(settings.get("no_repeat", False))
        self.processors = _processors(settings, eos=eos, device=device)

    def __call__(self, ids: Tensor, logits: Tensor) -> Tensor:
        """Adjust the logits ``[B, K, V]`` of texts so far ``[B, K, T]`` (opening word first); return float32 ``[B, K, V]``."""
        logits = logits.float()
        if self.no_repeat and ids.shape[2] > 1:
            logits = logits.scatter(2, ids[:, :, -1:], -10000.0)
        for process in self.processors:
            logits = process(ids.flatten(0, 1), logits.flatten(0, 1)).view_as(logits)
        return logits


def _processors(settings: Mapping[str, Any], *, eos: int, device: torch.device) -> list[LogitsProcessor]:
    """Return Hugging Face's processors for the settings that have an effect."""
    import transformers

    found: list[LogitsProcessor] = []
    if settings.get("repetition_penalty", 1.0) != 1.0:
        found.append(transformers.RepetitionPenaltyLogitsProcessor(float(settings["repetition_penalty"])))
    if settings.get("no_repeat_ngram_size", 0) > 0:
        found.append(transformers.NoRepeatNGramLogitsProcessor(settings["no_repeat_ngram_size"]))
    if (least := settings.get("min_new_tokens", 0)) > 0:  # the opening word is the prompt
        found.append(transformers.MinNewTokensLengthLogitsProcessor(1, least, eos, device=str(device)))
    if not settings.get("do_sample", False):
        return found
    if settings.get("temperature", 1.0) != 1.0:
        found.append(transformers.TemperatureLogitsWarper(float(settings["temperature"])))
    if settings.get("top_k", 0) > 0:
        found.append(transformers.TopKLogitsWarper(settings["top_k"]))
    if settings.get("top_p", 1.0) < 1.0:
        found.append(transformers.TopPLogitsWarper(float(settings["top_p"])))
    return found


def reorder_beams(x: Tensor, parents: Tensor) -> Tensor:
    """Reorder beams ``[B, K, ...]`` by ``parents [B, K']`` to ``[B, K', ...]``."""
    rows = torch.arange(len(x), device=x.device)[:, None]
    return x[rows, parents]
