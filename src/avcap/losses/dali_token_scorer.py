"""How much each token matters, seen from the other stream (DALI's scorers)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avcap.transport import as_full_precision
from avcap.types import Tokens

SOFTENING = 20.0  # divides the scores, so that the weights start nearly uniform


class TokenScorer(nn.Module):
    """A cross-attention that gives the tokens of one set masses, half learned, half uniform.

    ``mass = (softmax(mean_c A(q, k, v)_c / 20) + 1 / N) / 2`` with ``q`` from the tokens, ``k`` and ``v`` from the other set.

    Raises:
        ValueError: if the width cannot be split into heads.
    """

    def __init__(self, width: int, *, heads: int = 8) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"Scorers of width {width} cannot have {heads} heads; choose a divisor of the width.")
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, tokens: Tokens, other: Tokens) -> Tensor:
        """Compute the masses ``[B, N]`` of tokens ``[B, N, C]``, finite also on padding, against others ``[B, M, C]``.

        Returns:
            Masses in float32: sum 1 over the real tokens, 0 on padding.
        """
        scores = as_full_precision(self.scores(tokens, other))
        real = tokens.full_mask()
        uniform = real.to(scores.dtype) / real.sum(dim=1, keepdim=True).clamp_min(1)  # [B, N]
        learned = (scores / SOFTENING).masked_fill(~real, torch.finfo(scores.dtype).min).softmax(dim=1)
        return (learned * real + uniform) / 2

    def scores(self, tokens: Tokens, other: Tokens) -> Tensor:
        """Average the attention output over the channels, ``[B, N]``."""
        padding = None
        if other.mask is not None:  # a clip without the other set attends to its zeros: its result is dropped
            padding = ~other.mask & other.mask.any(dim=1, keepdim=True)  # [B, M]
        out, _ = self.attention(
            self.query(tokens.x), self.key(other.x), self.value(other.x), key_padding_mask=padding, need_weights=False
        )  # [B, N, C]
        return out.mean(dim=-1)
