"""Text <-> token ids for a language model, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


class Ids(NamedTuple):
    """Padded token ids, on the CPU whatever the default device is."""

    ids: Tensor  # [n, L] int64
    mask: Tensor  # [n, L] bool, True where the id is real


class SpecialIds(NamedTuple):
    """The ids that frame a text."""

    bos: int | None  # opens the input; None: the model has none
    eos: tuple[int, ...]  # any of them ends a caption; training ends with the first
    pad: int  # fills up; never seen by the model

    @property
    def opening(self) -> int:
        """The id that opens a text: ``bos``, or where there is none the one that ends it."""
        return self.eos[0] if self.bos is None else self.bos


def special_ids(tokenizer: Any, config_eos: int | Sequence[int] | None) -> SpecialIds:
    """Choose the ids that frame a text.

    Args:
        tokenizer: A Hugging Face tokenizer.
        config_eos: ``eos_token_id`` of a pretrained model's configuration, which overrules the tokenizer (a tokenizer
            read from a GGUF file can name the wrong one); None where the model starts from random weights.

    Raises:
        ValueError: if there is no end-of-text token.
    """
    if config_eos is None:
        eos = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    else:
        eos = [config_eos] if isinstance(config_eos, int) else list(config_eos)
        eos.sort(key=lambda i: i != tokenizer.eos_token_id)  # stable: the tokenizer's own choice first, if it is one
    if not eos:
        raise ValueError("The tokenizer (decoder.tokenizer) has no end-of-text token; captions could never end.")
    pad = tokenizer.pad_token_id
    return SpecialIds(tokenizer.bos_token_id, tuple(eos), eos[0] if pad is None else pad)


def target_texts(captions: Sequence[str], *, clips: int, lowercase: bool) -> list[str]:
    """Return the captions that a decoder is trained on, one for each of ``clips``.

    Raises:
        ValueError: if there is another number of captions than of clips.
    """
    if len(captions) != clips:
        raise ValueError(f"There are {len(captions)} captions for {clips} clips; give one a clip.")
    return [caption.lower() for caption in captions] if lowercase else list(captions)


class TextCodec:
    """A tokenizer and its framing ids."""

    def __init__(self, tokenizer: Any, special: SpecialIds) -> None:
        self.tokenizer = tokenizer
        self.special = special

    def encode(self, texts: Sequence[str], *, bos: bool = False, padding_side: str = "right") -> Ids:
        """Convert texts to ids ``[n, L]``, with no framing but the opening id where ``bos`` asks for it."""
        opening = [self.special.bos] if bos and self.special.bos is not None else []
        return self.pad([opening + row for row in self._rows(texts)], padding_side)

    def encode_captions(self, captions: Sequence[str], *, limit: int) -> Ids:
        """Convert captions to ids ``[B, L]``, each cut to ``limit - 1`` tokens and ended by the end-of-text id."""
        return self.pad([row[: limit - 1] + [self.special.eos[0]] for row in self._rows(captions)])

    def decode(self, ids: Tensor) -> list[str]:
        """Convert ids ``[n, L]`` to texts: the text before the first end-of-text id, on one line, without special tokens."""
        ends = torch.isin(ids, ids.new_tensor(self.special.eos))
        kept = ends.cumsum(1) == 0  # [n, L]
        rows = [
            [token for token, keep in zip(row, keeps, strict=True) if keep]
            for row, keeps in zip(ids.tolist(), kept.tolist(), strict=True)
        ]
        texts = self.tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [" ".join(text.split()) for text in texts]

    def pad(self, rows: Sequence[list[int]], side: str = "right") -> Ids:
        """Pad rows of ids on one side to ids ``[n, L]``."""
        ids = [torch.tensor(row, dtype=torch.long, device="cpu") for row in rows]
        mask = [torch.ones(len(row), dtype=torch.bool, device="cpu") for row in rows]
        return Ids(
            pad_sequence(ids, batch_first=True, padding_value=self.special.pad, padding_side=side),
            pad_sequence(mask, batch_first=True, padding_value=False, padding_side=side),
        )

    def _rows(self, texts: Sequence[str]) -> list[list[int]]:
        return self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
