"""The other beam search of the official code, which never says a word twice in a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avcap.decoders.search_step import Hypotheses, LogitRules, Search, Step, take


class AutoRegressiveBeamSearch(Search):
    """``AutoRegressiveBeamSearch`` of the official AVCap and GIT code, which its captioner does not use.

    Each of K beams offers its ``per_node`` best continuations, and the K best sums of all go on; a beam that has ended
    repeats the end word at log probability 0. From the second word on the word before has the logit -10000. The best sum
    wins and is divided by its number of words, the first end word counted.

    It reads ``num_beams``, ``max_new_tokens`` and the settings of :class:`LogitRules`; there is no length penalty.

    Args:
        per_node: Continuations that each beam offers.
    """

    def __init__(self, per_node: int = 2) -> None:
        if per_node < 1:
            raise ValueError(f"AutoRegressiveBeamSearch.per_node is {per_node}; it must be at least 1.")
        self.per_node = per_node

    def __call__(self, step: Step, *, bos: Tensor, eos: int, settings: Mapping[str, Any]) -> Hypotheses:
        """Search; the scores are mean log probabilities a word."""
        ids, scores = self._beams(step, bos, eos, settings)
        return Hypotheses(ids[:, 0], scores[:, 0])

    def nbest(self, step: Step, *, bos: Tensor, eos: int, settings: Mapping[str, Any], count: int) -> Hypotheses:
        """See :meth:`Search.nbest`; the beams as they are at the end, by their sums."""
        ids, scores = self._beams(step, bos, eos, settings)
        return Hypotheses(ids[:, :count], scores[:, :count])

    def _beams(self, step: Step, bos: Tensor, eos: int, settings: Mapping[str, Any]) -> Hypotheses:
        """All beams ``[B, K, N]`` at the end, the best sum first, and their mean log probabilities ``[B, K]``."""
        beams, limit = settings["num_beams"], settings["max_new_tokens"]
        rules = LogitRules({**settings, "no_repeat": True}, eos=eos, device=bos.device)
        start = bos[:, None]  # [B, 1]
        logs = rules(start[:, :, None], step(start, None)).log_softmax(dim=-1)  # [B, 1, V]
        sums, words = logs.squeeze(1).topk(beams)  # [B, K]
        ids = torch.stack([start.expand(-1, beams), words], dim=2)  # [B, K, 2]
        parents = torch.zeros_like(words)
        while ids.shape[2] <= limit and not bool((words == eos).all()):
            logs = rules(ids, step(words, parents)).log_softmax(dim=-1)  # [B, K, V]
            silent = torch.full_like(logs[0, 0], float("-inf")).index_fill(0, words.new_tensor([eos]), 0.0)  # [V]
            logs = torch.where((words == eos)[:, :, None], silent, logs)
            offers, offered = logs.topk(self.per_node)  # [B, K, per_node]
            sums, place = (sums[:, :, None] + offers).flatten(1).topk(beams)  # [B, K]
            parents, words = place // self.per_node, offered.flatten(1).gather(1, place)
            ids = torch.cat([take(ids, parents), words[:, :, None]], dim=2)  # [B, K, n]
        texts = ids[:, :, 1:]  # [B, K, n]
        ended = (texts == eos).any(dim=2)
        count = ((texts != eos).sum(dim=2) + ended.long()).clamp_min(1)
        return Hypotheses(F.pad(texts, (0, limit - texts.shape[2]), value=eos), sums / count)
