"""Quantities of a transport plan ``[B, n, m]``."""

from __future__ import annotations

from torch import Tensor

from avcap.transport.precision import as_full_precision, full_precision


def marginals(plan: Tensor) -> tuple[Tensor, Tensor]:
    """Compute row sums ``[B, n]`` and column sums ``[B, m]`` of a plan ``[B, n, m]``."""
    return plan.sum(dim=2), plan.sum(dim=1)


def apply_plan(plan: Tensor, y: Tensor) -> Tensor:
    """Compute ``sum_j P_ij y_j``: the other side's points weighed by the plan as it is, not rescaled.

    A row of the plan has mass ``1 / n``, so the result is ``1 / n`` of a weighted mean (LAVCap's code).

    Args:
        plan: Plan ``[B, n, m]``.
        y: Points ``[B, m, C]``.

    Returns:
        ``[B, n, C]`` in full precision; 0 for a row without mass.
    """
    with full_precision(plan.device):
        plan = as_full_precision(plan)
        return plan @ y.to(plan.dtype)


def barycentric_projection(plan: Tensor, y: Tensor) -> Tensor:
    """Compute ``sum_j P_ij y_j / sum_j P_ij``: where the plan sends each point (LAVCap's paper rescales in this way).

    Args:
        plan: Plan ``[B, n, m]``.
        y: Points ``[B, m, C]``.

    Returns:
        ``[B, n, C]`` in full precision; 0 for a row without mass.
    """
    mass = as_full_precision(plan).sum(dim=2, keepdim=True)  # [B, n, 1]
    return apply_plan(plan, y) / mass.masked_fill(mass == 0, 1)
