"""Token masks: ``[B, N]`` bool, True where a token is real; None where all are."""

from __future__ import annotations

import torch
from torch import Tensor

from avcap.types import Tokens


def zero_padding(tokens: Tokens) -> Tokens:
    """Set padded tokens to zero, so that garbage or NaN in padding cannot spread."""
    if tokens.mask is None:
        return tokens
    return tokens._replace(x=tokens.x.masked_fill(~tokens.mask.unsqueeze(-1), 0))


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Average ``values`` where ``mask`` is True (finite there), over all axes; 0 (with a graph) if it is True nowhere."""
    return values.masked_fill(~mask, 0).sum() / mask.sum().clamp_min(1)


def have_both(first: Tokens, second: Tokens) -> Tensor:
    """Return the clips that have a real token in both streams: bool ``[B]``."""
    return first.full_mask().any(dim=1) & second.full_mask().any(dim=1)


def mean_token(tokens: Tokens) -> Tensor:
    """Return the mean of each clip's real tokens ``[B, C]``; 0 for a clip that has none."""
    return zero_padding(tokens).x.sum(dim=1) / tokens.full_mask().sum(dim=1, keepdim=True).clamp_min(1)


def concat_time(first: Tokens, second: Tokens) -> Tokens:
    """Concatenate two sequences, ``[B, N1 + N2, C]``; mask and time stay None if neither has one."""
    x = torch.cat([first.x, second.x], dim=1)  # [B, N1 + N2, C]
    mask = time = None
    if first.mask is not None or second.mask is not None:
        mask = torch.cat([first.full_mask(), second.full_mask()], dim=1)
    if first.time is not None or second.time is not None:
        time = torch.cat([first.full_time(), second.full_time()], dim=1)
    return Tokens(x, mask, time)


def fall_back(tokens: Tokens, other: Tokens) -> Tokens:
    """Return ``tokens`` ``[B, N, C]``, but ``other`` ``[B, M, C]`` for the clips without a real token in ``tokens``."""
    if 0 in (tokens.x.shape[1], other.x.shape[1]):
        return concat_time(tokens, other)  # the one that is there, with the other in its graph
    if tokens.mask is None:
        return tokens
    length = max(tokens.x.shape[1], other.x.shape[1])
    tokens, other = _lengthen(tokens, length), _lengthen(other, length)
    lacking = ~tokens.full_mask().any(dim=1, keepdim=True)  # [B, 1]
    x = torch.where(lacking.unsqueeze(-1), other.x, tokens.x)  # [B, max(N, M), C]
    mask = torch.where(lacking, other.full_mask(), tokens.full_mask())
    if tokens.time is None and other.time is None:
        return Tokens(x, mask)
    return Tokens(x, mask, torch.where(lacking, other.full_time(), tokens.full_time()))


def _lengthen(tokens: Tokens, length: int) -> Tokens:
    B, N, C = tokens.x.shape
    if length == N:
        return tokens
    padding = tokens.x.new_zeros(B, length - N, C)
    return concat_time(tokens, Tokens(padding, tokens.full_mask().new_zeros(B, length - N)))
