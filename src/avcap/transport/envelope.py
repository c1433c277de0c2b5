"""The transport cost of two token sets as a function with a gradient, whatever solver finds the plan.

By the envelope theorem the optimal plan and its dual potentials are constants to the gradient. For the cost
``|x_i - y_j|^2``, plan ``P`` and potentials ``f``, ``g``,

    d value / d x_i = 2 sum_j P_ij (x_i - y_j),    d value / d a_i = f_i,    d value / d b_j = g_j.

So nothing of size ``[B, n, m]`` is kept for the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from avcap.transport.cost import squared_euclidean_cost
from avcap.transport.precision import as_full_precision, full_precision

CACHED_PAIRS = 2**20  # costs of 4 MB in float32


class TransportSolution(NamedTuple):
    """A plan and its dual potentials, all constants."""

    plan: Tensor  # [B, n, m], 0 where there is no mass
    potential_a: Tensor  # [B, n], 0 where there is no mass; a constant may be moved from one potential to the other
    potential_b: Tensor  # [B, m]


Solver = Callable[[Tensor, Tensor, Tensor], TransportSolution]
"""``(cost [B, n, m], a [B, n], b [B, m]) -> TransportSolution``, without a graph."""


def transport_cost(x: Tensor, y: Tensor, a: Tensor, b: Tensor, *, solve: Solver) -> Tensor:
    """Compute ``<P, |x_i - y_j|^2>`` of the plan that ``solve`` finds, for each clip, in float32 also under autocast.

    Args:
        x: Points ``[B, n, C]``, finite also where they have no mass.
        y: Points ``[B, m, C]``.
        a: Masses of ``x`` ``[B, n]``, not negative, of sum 1, or all 0 for a clip that lacks the set.
        b: Masses of ``y`` ``[B, m]``.
        solve: The solver.

    Returns:
        Costs ``[B]`` with gradients by all four; 0 for a clip that lacks a set.
    """
    with full_precision(x.device):
        x, y, a, b = (as_full_precision(t) for t in (x, y, a, b))
        if 0 in (x.shape[1], y.shape[1]):  # nothing to solve, but a graph
            return 0 * (x.sum(dim=(1, 2)) + y.sum(dim=(1, 2)) + a.sum(dim=1) + b.sum(dim=1))
        return _TransportCost.apply(x, y, a, b, _of_its_size if x.is_meta else solve)


def _of_its_size(cost: Tensor, a: Tensor, b: Tensor) -> TransportSolution:
    """Return a solution without values, for the meta device; it takes what a solver takes."""
    return TransportSolution(torch.empty_like(cost), torch.empty_like(a), torch.empty_like(b))


class _TransportCost(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, a: Tensor, b: Tensor, solve: Solver) -> Tensor:
        value, potential_a, potential_b = x.new_empty(len(x)), torch.empty_like(a), torch.empty_like(b)
        by_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        by_y = torch.empty_like(y) if ctx.needs_input_grad[1] else None
        for clips in _parts(x, y):
            cost = squared_euclidean_cost(x[clips], y[clips])  # [b, n, m]
            plan, potential_a[clips], potential_b[clips] = solve(cost, a[clips], b[clips])
            value[clips] = torch.linalg.vecdot(plan.flatten(1), cost.flatten(1))  # [b]
            if by_x is not None:
                _pull(x[clips], y[clips], plan, out=by_x[clips])
            if by_y is not None:
                _pull(y[clips], x[clips], plan.mT, out=by_y[clips])
        ctx.save_for_backward(by_x, by_y, potential_a, potential_b)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gradients = [None] * 5
        for position, gradient in enumerate(ctx.saved_tensors):
            if ctx.needs_input_grad[position]:
                gradients[position] = gradient * grad.view(-1, *[1] * (gradient.dim() - 1))
        return tuple(gradients)


def _parts(x: Tensor, y: Tensor) -> list[slice]:
    """Cut a batch into parts whose costs stay in a CPU's cache; an accelerator takes the batch at once."""
    clips = len(x) if x.device.type != "cpu" else max(1, CACHED_PAIRS // (x.shape[1] * y.shape[1]))
    return [slice(first, first + clips) for first in range(0, len(x), clips)]


def _pull(x: Tensor, y: Tensor, plan: Tensor, *, out: Tensor) -> None:
    """Write ``2 sum_j P_ij (x_i - y_j)``, ``[b, n, C]``, into ``out``."""
    torch.mul(x, plan.sum(dim=2, keepdim=True), out=out).baddbmm_(plan, y, beta=2, alpha=-2)
