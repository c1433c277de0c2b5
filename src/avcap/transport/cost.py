"""Pairwise similarities and costs ``[B, n, C], [B, m, C] -> [B, n, m]``, in float32 also under autocast.

A score divided by an entropic regularisation of 0.1 or less loses its meaning in bfloat16 (3 significant digits), so
these functions leave autocast; float64 stays float64.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from avcap.transport.precision import as_full_precision, full_precision

NORM_FLOOR = 1e-12  # a vector shorter than this counts as zero and stays (almost) zero


def cosine_similarity(x: Tensor, y: Tensor) -> Tensor:
    """Compute the cosine ``[B, n, m]`` of the angle between points ``[B, n, C]`` and ``[B, m, C]``; 0 for a zero vector.

    Raises:
        ValueError: if the two sets differ in batch or width.
    """
    check_points(x, y)
    with full_precision(x.device):
        x = F.normalize(as_full_precision(x), dim=-1, eps=NORM_FLOOR)
        y = F.normalize(as_full_precision(y), dim=-1, eps=NORM_FLOOR)
        return x @ y.mT  # [B, n, m]


def squared_euclidean_cost(x: Tensor, y: Tensor) -> Tensor:
    """Compute ``|x_i - y_j|^2`` ``[B, n, m]``, expanded as ``|x|^2 + |y|^2 - 2 x.y`` around the common mean and never below 0.

    Padding takes part in that mean, so it has to be finite (its own distances are for the caller to ignore). The gradient is
    exact; where rounding made the value negative it is 0.

    Raises:
        ValueError: if the two sets differ in batch or width.
    """
    check_points(x, y)
    with full_precision(x.device):
        x, y = as_full_precision(x), as_full_precision(y)
        x, y = centred(x, y)
        cost = sums_of_squares(x, y).baddbmm_(x, y.mT, alpha=-2)
        return cost.clamp_min(0) if cost.requires_grad else cost.clamp_min_(0)


def sums_of_squares(x: Tensor, y: Tensor) -> Tensor:
    """Compute ``|x_i|^2 + |y_j|^2``, ``[B, n, C], [B, m, C] -> [B, n, m]``."""
    # a norm and its square take one pass over the points, a square and its sum two
    norm_x, norm_y = torch.linalg.vector_norm(x, dim=-1), torch.linalg.vector_norm(y, dim=-1)  # [B, n], [B, m]
    return norm_x.square().unsqueeze(2) + norm_y.square().unsqueeze(1)


def centred(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Subtract from both sets ``[B, n, C]``, ``[B, m, C]`` the mean of all their points, a constant for the gradient.

    Distances do not change, and the cancellation of large squares shrinks.
    """
    total = x.detach().sum(dim=1, keepdim=True) + y.detach().sum(dim=1, keepdim=True)  # [B, 1, C]
    centre = total / max(1, x.shape[1] + y.shape[1])
    return x - centre, y - centre


def check_points(x: Tensor, y: Tensor) -> None:
    """Raise a ValueError unless the two are ``[B, n, C]`` and ``[B, m, C]``."""
    if x.dim() != 3 or y.dim() != 3 or x.shape[0] != y.shape[0] or x.shape[2] != y.shape[2]:
        raise ValueError(
            f"A pairwise cost needs points [B, n, C] and [B, m, C] of one batch and one width, "
            f"got {list(x.shape)} and {list(y.shape)}; project one set to the width of the other first."
        )
