"""Times of tokens: ``[B, N]`` float32, the middle of each in seconds of its clip; NaN where unknown, None where all are."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_times(time: Tensor | None, size: int, *, real: Tensor | None = None) -> Tensor | None:
    """Average the times of inputs that one token covers; inputs beyond the last whole token are dropped.

    Args:
        time: ``[B, T]``, or None.
        size: Inputs a token.
        real: ``[B, T]`` bool; a token that covers both real and padded inputs has the mean of the real ones.

    Returns:
        ``[B, T // size]``, or None where ``time`` is.
    """
    if time is None:
        return None
    groups = time[:, : time.shape[1] // size * size].unflatten(1, (-1, size))  # [B, T // size, size]
    if real is None:
        return groups.mean(dim=2)
    kept = real[:, : groups.shape[1] * size].unflatten(1, (-1, size))
    kept = kept | ~kept.any(dim=2, keepdim=True)  # padding alone: all of it
    return torch.where(kept, groups, 0).sum(dim=2) / kept.sum(dim=2)
