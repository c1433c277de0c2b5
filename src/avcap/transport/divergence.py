"""The debiased Sinkhorn divergence between weighted point sets, by geomloss."""

from __future__ import annotations

import torch
from torch import Tensor

from avcap.transport.cost import check_points
from avcap.transport.precision import as_full_precision, full_precision


def sinkhorn_divergence(
    x: Tensor,
    y: Tensor,
    *,
    a: Tensor | None = None,
    b: Tensor | None = None,
    mask_x: Tensor | None = None,
    mask_y: Tensor | None = None,
    blur: float = 0.05,
    scaling: float = 0.5,
) -> Tensor:
    """Compute ``OT(x, y) - (OT(x, x) + OT(y, y)) / 2`` with cost ``|x_i - y_j|^2 / 2`` and ``epsilon = blur^2``, clip by clip.

    Feydy et al., "Interpolating between Optimal Transport and MMD using Sinkhorn Divergences" (AISTATS 2019). It is never
    negative and is 0 for equal sets. float32 also under autocast.

    Args:
        x: Points ``[B, n, C]``.
        y: Points ``[B, m, C]``.
        a: Masses of ``x`` ``[B, n]``, of sum 1, or all 0 for a clip that lacks the set; None: equal ones.
        b: Masses of ``y`` ``[B, m]``, likewise.
        mask_x: Where a point is real ``[B, n]``, for equal masses; None: everywhere. A point without mass may hold anything.
        mask_y: Where a point is real ``[B, m]``.
        blur: Length below which differences are blurred, in the unit of the points.
        scaling: Ratio of successive steps of the annealing, between 0 and 1; higher is slower and more exact.

    Returns:
        Divergences ``[B]``; 0, with a gradient of 0, for a clip in which either set is empty, and NaN for one whose points or
        masses are not finite.

    Raises:
        ValueError: if a shape or a setting is wrong.
    """
    check_points(x, y)
    if not (blur > 0 and 0 < scaling < 1):
        raise ValueError(f"The divergence needs blur above 0 and scaling between 0 and 1, got {blur} and {scaling}.")
    from geomloss import SamplesLoss

    with full_precision(x.device):
        x, y = as_full_precision(x), as_full_precision(y)
        a, b = _masses(x, a, mask_x), _masses(y, b, mask_y)
        x, y = _gathered(x, a), _gathered(y, b)
        if x.is_meta or 0 in (x.shape[1], y.shape[1]):
            return 0 * (x.sum(dim=(1, 2)) + y.sum(dim=(1, 2)) + a.sum(dim=1) + b.sum(dim=1))
        both = (a > 0).any(dim=1) & (b > 0).any(dim=1)  # [B]
        broken = ~(_all_finite(x) & _all_finite(y) & _all_finite(a) & _all_finite(b))  # [B]
        x, y = (t.masked_fill(broken.view(-1, 1, 1), 0) for t in (x, y))  # geomloss's schedule fails for all clips
        a, b = _measure(a), _measure(b)
        # distances do not change; geomloss expands them into squares, and large ones would cancel
        centre = (_mean(a, x) + _mean(b, y)).detach() / 2  # [B, 1, C]
        solver = SamplesLoss("sinkhorn", p=2, blur=blur, scaling=scaling, debias=True, backend="tensorized")
        values = solver(a, x - centre, b, y - centre)  # [B]
        return torch.where(both, values, 0).masked_fill(broken, torch.nan)


def _masses(points: Tensor, mass: Tensor | None, mask: Tensor | None) -> Tensor:
    """Return the masses ``[B, N]``; if none are given, equal ones on the real points."""
    if mass is not None:
        return mass.to(points.dtype)
    real = points.new_ones(points.shape[:2]) if mask is None else mask.to(points.dtype)
    return real / real.sum(dim=1, keepdim=True).clamp_min(1)


def _gathered(points: Tensor, mass: Tensor) -> Tensor:
    """Move points ``[B, N, C]`` without mass onto the first that has some, or all to 0 if none has.

    geomloss takes the scale of its annealing from the extent of all points, also of those that weigh nothing.
    """
    if 0 in points.shape:
        return points
    some = mass > 0  # [B, N]
    first = some.to(torch.uint8).argmax(dim=1)  # [B]
    anchor = points.gather(1, first.view(-1, 1, 1).expand(-1, 1, points.shape[2]))  # [B, 1, C]
    anchor = torch.where(some.any(dim=1).view(-1, 1, 1), anchor, 0)
    return torch.where(some.unsqueeze(-1), points, anchor)


def _measure(mass: Tensor) -> Tensor:
    """Return the masses, uniform for a clip that has none (for a finite value, which is dropped later)."""
    return torch.where((mass > 0).any(dim=1, keepdim=True), mass, 1 / mass.shape[1])


def _mean(mass: Tensor, points: Tensor) -> Tensor:
    return (mass.unsqueeze(-1) * points).sum(dim=1, keepdim=True)  # [B, 1, C]


def _all_finite(values: Tensor) -> Tensor:
    return values.isfinite().flatten(1).all(dim=1)  # [B]
