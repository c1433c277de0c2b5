"""Prefix tuning: learned vectors in the embedding space of a language model."""

from __future__ import annotations

import torch
from torch import nn

from avcap.layers.masking import concat_time
from avcap.types import Tokens

INITIAL_STD = 0.002


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
        """Tokens ``[B, N, C]`` -> ``[B, N + K, C]``."""
        return concat_time(tokens, Tokens(self.prefix.to(tokens.x.dtype).expand(len(tokens.x), -1, -1)))
