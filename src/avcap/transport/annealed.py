"""Sinkhorn's algorithm close to the unregularised optimum: annealed, over-relaxed, until it has converged.

``P = exp((f_i + g_j - cost_ij) / epsilon)`` in scaling form, ``P = diag(u) K diag(v)``, with three changes that make a small
``epsilon`` quick and safe in float32:

- annealing: ``epsilon`` falls in a few steps; after each, ``u`` and ``v`` are absorbed into the potentials and ``K`` is
  computed anew from the costs (Schmitzer, "Stabilized Sparse Scaling Algorithms", SIAM J. Sci. Comput. 2019);
- over-relaxation: ``u <- u (a / (u * K v))^w`` with ``w`` above 1 near the solution (Thibault et al., "Overrelaxed Sinkhorn-Knopp Algorithm for
  Regularized Optimal Transport", Algorithms 2021);
- it ends where the marginals are right to a tolerance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from avcap.transport.envelope import TransportSolution
from avcap.transport.precision import as_full_precision, full_precision

SPAN = 10.0  # of cost / epsilon at the start: the scalings move by a few units in an iteration, so that is soon crossed
RATIO = 4.0  # largest ratio of successive epsilons
ROUGH = 0.05  # tolerance of the steps before the last
ROUND = 50  # iterations until u and v are absorbed: they may grow by e in an iteration, float32 ends at exp(88)
RELAXATION, RELAXED_BELOW = 1.6, 0.2  # power w, and the error below which it helps; farther away it diverges


@torch.no_grad()
def annealed_sinkhorn(
    cost: Tensor, a: Tensor, b: Tensor, *, epsilon: float = 0.005, tolerance: float = 0.02, max_iterations: int = 500
) -> TransportSolution:
    """Solve ``min_P <P, cost> + epsilon * mean * KL(P | a b')`` for each clip; ``mean`` is the clip's cost of the plan ``a b'``.

    The regularisation is relative, so one setting fits tokens of any scale. ``<P, cost>`` exceeds the unregularised optimum by
    at most ``epsilon * log(min(n, m))`` of the mean cost; at 512 x 576 tokens and 0.005 by less than 1 % in practice.

    Args:
        cost: Costs ``[B, n, m]``, not negative.
        a: Row masses ``[B, n]``, not negative, of sum 1, or all 0 for a clip without a plan.
        b: Column masses ``[B, m]``.
        epsilon: Entropic regularisation as a share of the mean cost, above 0.
        tolerance: Largest ``|P 1 - a|_1 + |P' 1 - b|_1`` at which a clip counts as converged, above 0.
        max_iterations: Iterations of the last step, at most.

    Returns:
        The plan (columns sum to ``b`` but for rounding, rows to ``a`` within the tolerance) and the potentials of the regularised
        problem, without a graph. A clip whose costs are not finite gets NaN.

    Raises:
        ValueError: if a setting is out of range.

    Example:
        >>> half = torch.full((1, 2), 0.5)
        >>> plan = annealed_sinkhorn(torch.tensor([[[0.0, 9.0], [9.0, 0.0]]]), half, half).plan
        >>> [[round(p, 3) for p in row] for row in plan[0].tolist()]
        [[0.5, 0.0], [0.0, 0.5]]
    """
    if not (epsilon > 0 and tolerance > 0 and max_iterations >= 1):
        raise ValueError(
            f"Sinkhorn needs epsilon and tolerance above 0 and at least 1 iteration, got {epsilon}, {tolerance} and "
            f"{max_iterations}."
        )
    with full_precision(cost.device):
        cost = as_full_precision(cost)
        cost, a, b, mean = _prepared(cost, a.to(cost.dtype), b.to(cost.dtype))
        last = epsilon * mean  # [B]
        low, high = cost.amin(dim=(1, 2)), cost.amax(dim=(1, 2))  # [B]
        regularisation = torch.maximum(last, (high - low) / SPAN)
        steps = math.ceil((regularisation / last).log().nan_to_num(0).max().item() / math.log(RATIO))
        ratio = (last / regularisation) ** (1 / max(1, steps))  # [B], each clip by its own ratio
        log_u, log_v = torch.zeros_like(a), torch.zeros_like(b)
        kernel = torch.empty_like(cost)
        left = max_iterations
        while True:
            log_u = _kernel(cost, regularisation, log_u, log_v, out=kernel)
            final = steps == 0
            u, v, error = _scalings(kernel, a, b, tolerance if final else ROUGH, min(ROUND, left))
            log_u, log_v = log_u + u.log(), log_v + v.log()
            if final:
                left -= ROUND
                if left <= 0 or error <= tolerance:
                    break
            else:
                steps -= 1
                regularisation = regularisation * ratio
                log_u, log_v = log_u / ratio[:, None], log_v / ratio[:, None]
        plan = kernel.mul_(u.unsqueeze(2)).mul_(v.unsqueeze(1))
        scale = regularisation.unsqueeze(1)  # [B, 1]
        return TransportSolution(
            plan, torch.where(a > 0, scale * (log_u - a.log()), 0), torch.where(b > 0, scale * (log_v - b.log()), 0)
        )


def _prepared(cost: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return costs whose padding is the mean, masses of the clips that have both sets, and the mean costs ``[B]``."""
    alive = (a > 0).any(dim=1, keepdim=True) & (b > 0).any(dim=1, keepdim=True)  # [B, 1]
    a, b = a * alive, b * alive
    mean = torch.bmm(torch.bmm(a.unsqueeze(1), cost), b.unsqueeze(2)).view(-1)  # [B]
    mean = torch.where(mean == 0, 1, mean)
    real_a, real_b = a > 0, b > 0
    if not bool((real_a.all() & real_b.all()).item()):
        cost = torch.where(real_a.unsqueeze(2) & real_b.unsqueeze(1), cost, mean.view(-1, 1, 1))  # [B, n, m]
    return cost, a, b, mean


def _kernel(cost: Tensor, epsilon: Tensor, log_u: Tensor, log_v: Tensor, *, out: Tensor) -> Tensor:
    """Write ``exp(log u_i + log v_j - cost_ij / epsilon)`` into ``out``; shift ``log u`` so that no row is 0, and return it.

    No column is 0 either: at the larger epsilon it had its mass, and the shift only adds to it.
    """
    torch.addcmul(log_u.unsqueeze(2), cost, (-1 / epsilon).view(-1, 1, 1), out=out)
    out.add_(log_v.unsqueeze(1))
    peak = out.amax(dim=2, keepdim=True)  # [B, n, 1]
    peak.masked_fill_(peak == -torch.inf, 0)  # a row without mass
    out.sub_(peak).exp_()
    return log_u - peak.squeeze(2)


def _scalings(kernel: Tensor, a: Tensor, b: Tensor, tolerance: float, iterations: int) -> tuple[Tensor, Tensor, float]:
    """Find ``u``, ``v`` such that ``diag(u) K diag(v)`` has the marginals ``a`` (nearly) and ``b``; return also the largest error of a clip."""
    every = 1 if kernel.device.type == "cpu" else 10  # reading the error back makes an accelerator wait
    u, v = torch.ones_like(a), torch.ones_like(b)
    row = _row(v, kernel.mT)
    error, largest = torch.full_like(a[:, 0], torch.inf), math.inf
    for iteration in range(1, iterations + 1):
        power = torch.where(error < RELAXED_BELOW, RELAXATION, 1.0).unsqueeze(1)  # [B, 1]
        u = torch.where(a > 0, u * (a / (u * row)) ** power, 0)
        column = _row(u, kernel)
        v = torch.where(b > 0, v * (b / (v * column)) ** power, 0)
        row = _row(v, kernel.mT)
        error = (u * row - a).abs().sum(dim=1) + (v * column - b).abs().sum(dim=1)  # [B]
        if iteration % every == 0 or iteration == iterations:
            largest = error.nan_to_num(0).max().item()  # NaN: costs that are not finite, nothing to wait for
            if largest <= tolerance:
                break
    return u, torch.where(b > 0, b / column, 0), largest


def _row(x: Tensor, matrix: Tensor) -> Tensor:
    """Compute ``x' matrix`` with a row vector, which a CPU multiplies several times as fast as a column."""
    return torch.bmm(x.unsqueeze(1), matrix).squeeze(1)
