"""Prefix tuning: learned vectors in the embedding space of a language model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from avcap.layers.masking import concat_time
from avcap.types import Tokens

INITIAL_STD = 0.002


@dataclass(frozen=True)
class PrefixTuning:
    """A learned prefix: how long it is, where it comes from, whether it is trained.

    Args:
        tokens: Number of vectors (DALI: 16).
        file: Their weights: a file made by ``avcap weights part CKPT decoder.prefix OUT``. None: small random ones.
        train: Train them.
    """

    tokens: int = 16
    file: str | None = None
    train: bool = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            ValueError: if there is no vector, or they are neither read nor trained.
        """
        if self.tokens < 1:
            raise ValueError(f"decoder.prefix.tokens is {self.tokens}; choose 1 or more, or leave decoder.prefix out.")
        if self.file is None and not self.train:
            raise ValueError(
                "The prefix is neither read nor trained; set decoder.prefix.file (a file) or decoder.prefix.train: true."
            )


class LearnedPrefix(nn.Module):
    """Learned vectors that follow the tokens of every clip (Li and Liang, ACL 2021, at the input layer alone).

    Args:
        count: Number of vectors, K.
        width: Channels of the language model's embeddings.
    """

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.prefix = nn.Parameter(INITIAL_STD * torch.randn(count, width))  # [K, C]

    def forward(self, tokens: Tokens) -> Tokens:
        """Convert tokens ``[B, N, C]`` to ``[B, N + K, C]``."""
        return concat_time(tokens, Tokens(self.prefix.to(tokens.x.dtype).expand(len(tokens.x), -1, -1)))
