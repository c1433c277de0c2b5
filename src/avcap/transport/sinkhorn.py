"""Entropic optimal transport, batched."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor

from avcap.transport._iterations import log_domain, quickest
from avcap.transport.precision import as_full_precision, full_precision
from avcap.types import TransportPlan

GradientPolicy = Literal["detach", "autodiff"]


def sinkhorn(
    cost: Tensor,
    *,
    epsilon: float,
    iterations: int = 50,
    a: Tensor | None = None,
    b: Tensor | None = None,
    mask_a: Tensor | None = None,
    mask_b: Tensor | None = None,
    grad: GradientPolicy = "detach",
) -> TransportPlan:
    """Solve ``min_P <P, cost> - epsilon H(P)`` over plans with row sums ``a`` and column sums ``b``, for each clip.

    Sinkhorn's algorithm (Cuturi 2013) with a fixed number of iterations; rows are updated first and columns last, as in
    LAVCap's code, so the column sums are exact and the row sums approximate. It runs in float32 (float64 for float64
    costs) with autocast off.

    Without gradient, a CUDA device runs all iterations in one launch (a Triton kernel, up to 16,384 scores a clip), and a CPU
    runs them in scaling form where the masses are uniform and the costs of every clip span at most ``40 * epsilon`` (300 in
    float64); else they run on log scalings. The results agree to rounding.

    Args:
        cost: Costs ``[B, n, m]``; a similarity to be maximised is passed as its negative (a constant has no effect).
        epsilon: Entropic regularisation, in the unit of the costs, above 0.
        iterations: Pairs of updates, at least 1.
        a: Row masses ``[B, n]``, not negative, brought to sum 1 over the real rows; None: uniform over the real rows.
        b: Column masses ``[B, m]``, likewise.
        mask_a: True where a row is real ``[B, n]``; None: all are. Other rows get no mass, whatever their cost.
        mask_b: True where a column is real ``[B, m]``.
        grad: "detach": the plan is a constant, and ``value`` has the gradient ``plan`` by the cost (at convergence that of
            the transport cost but for a term of order epsilon); "autodiff": gradients pass through all iterations.

    Returns:
        The log plan ``[B, n, m]`` (``-inf`` where there is no mass) and ``<plan, cost>`` ``[B]``. A clip with no real row
        or no real column has a plan of zeros and the value 0.

    Raises:
        ValueError: if a shape or a setting is wrong.

    Example:
        >>> plan = sinkhorn(torch.tensor([[[0.0, 9.0], [9.0, 0.0]]]), epsilon=0.1).plan
        >>> [[round(p, 3) for p in row] for row in plan[0].tolist()]
        [[0.5, 0.0], [0.0, 0.5]]
    """
    _check_settings(cost, epsilon, iterations, grad)
    with full_precision(cost.device):
        cost = as_full_precision(cost)
        for name, axis, mass, mask in (("a", 1, a, mask_a), ("b", 2, b, mask_b)):
            _check_shapes(cost, axis, mass, mask, name=name)
        if 0 in cost.shape:
            return TransportPlan(log_plan=cost, value=cost.sum(dim=(1, 2)))
        uniform, all_real = a is None and b is None, mask_a is None and mask_b is None
        if uniform and all_real:
            log_a, log_b = (cost.new_full((len(cost), n), -math.log(n)) for n in cost.shape[1:])  # [B, n], [B, m]
        else:
            mass_a, mass_b = _mass(cost, 1, a, mask_a), _mass(cost, 2, b, mask_b)  # [B, n], [B, m]
            real_a, real_b = mass_a > 0, mass_b > 0
            pairs = real_a.unsqueeze(2) & real_b.unsqueeze(1)  # [B, n, m], False throughout for a clip lacking one side
            cost = cost.masked_fill(~pairs, 0)
            alive = pairs.any(dim=2).any(dim=1, keepdim=True)  # [B, 1]
            log_a, log_b = _log_mass(mass_a, real_a, alive), _log_mass(mass_b, real_b, alive)
        with nullcontext() if grad == "autodiff" else torch.no_grad():
            score = cost / -epsilon
            iterate = log_domain if grad == "autodiff" else quickest(score, uniform=uniform)
            log_plan = iterate(score, log_a, log_b, iterations=iterations)
            if not (uniform and all_real):
                log_plan = log_plan.masked_fill(~pairs, -torch.inf)
        return TransportPlan(log_plan=log_plan, value=(log_plan.exp() * cost).sum(dim=(1, 2)))


def _check_shapes(cost: Tensor, axis: int, mass: Tensor | None, mask: Tensor | None, *, name: str) -> None:
    shape = (cost.shape[0], cost.shape[axis])
    for label, value in ((name, mass), (f"mask_{name}", mask)):
        if value is not None and value.shape != shape:
            raise ValueError(
                f"sinkhorn: {label} has shape {list(value.shape)}, but costs {list(cost.shape)} need {list(shape)}."
            )


def _mass(cost: Tensor, axis: int, mass: Tensor | None, mask: Tensor | None) -> Tensor:
    """Return masses ``[B, N]`` that sum to 1 over the real tokens of ``axis``, or to 0 for a clip that has none."""
    weights = cost.new_ones(cost.shape[0], cost.shape[axis]) if mass is None else mass.to(cost.dtype)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0)
    total = weights.sum(dim=1, keepdim=True)  # [B, 1]
    return weights / total.masked_fill(total == 0, 1)


def _log_mass(mass: Tensor, real: Tensor, alive: Tensor) -> Tensor:
    """Log masses: ``-inf`` off the real tokens, and uniform for a clip that has no plan (its result is dropped)."""
    log_mass = torch.where(real, mass, 1).log().masked_fill(~real, -torch.inf)
    return torch.where(alive, log_mass, -math.log(mass.shape[1]))


def _check_settings(cost: Tensor, epsilon: float, iterations: int, grad: str) -> None:
    if cost.dim() != 3 or not cost.is_floating_point():
        raise ValueError(f"sinkhorn needs costs [B, n, m] of floating point, got {cost.dtype} {list(cost.shape)}.")
    if not epsilon > 0:
        raise ValueError(f"sinkhorn: epsilon is {epsilon}, it must be above 0.")
    if iterations < 1:
        raise ValueError(f"sinkhorn: iterations is {iterations}, it must be at least 1.")
    if grad not in ("detach", "autodiff"):
        raise ValueError(f"sinkhorn: grad is {grad!r}, it must be 'detach' or 'autodiff'.")
