"""Exact optimal transport (the earth mover's distance) by POT's network simplex: the reference."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from avcap.transport.envelope import TransportSolution

MAX_ITERATIONS = 1_000_000


def emd(cost: Tensor, a: Tensor, b: Tensor) -> TransportSolution:
    """Solve ``min_P <P, cost>`` over plans with row sums ``a`` and column sums ``b``, for each clip, on the CPU.

    The solver takes one problem at a time and leaves the interpreter lock, so the clips are shared among threads. A clip
    whose costs are not finite gets a plan of NaN.

    Args:
        cost: Costs ``[B, n, m]``.
        a: Row masses ``[B, n]``, not negative, of sum 1, or all 0 for a clip without a plan.
        b: Column masses ``[B, m]``.

    Returns:
        The plan and the potentials, in the dtype and on the device of the costs, without a graph.

    Raises:
        ValueError: if POT is not installed, or the solver finds no optimum.
    """
    try:
        import ot  # noqa: F401
    except ImportError as error:
        raise ValueError(
            "Exact optimal transport needs the package POT: pip install 'avcap[transport]', or choose SinkhornTransport."
        ) from error
    problems = zip(*(t.detach().double().cpu().numpy() for t in (cost, a, b)), strict=True)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        solved = list(pool.map(_solve, problems))
    return TransportSolution(*(torch.from_numpy(np.stack(part)).to(cost) for part in zip(*solved, strict=True)))


def _solve(problem: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve plan and potentials of one clip, over the tokens that have mass."""
    import ot

    cost, a, b = problem
    plan, potential_a, potential_b = np.zeros_like(cost), np.zeros_like(a), np.zeros_like(b)
    rows, columns = np.flatnonzero(a > 0), np.flatnonzero(b > 0)
    if not (len(rows) and len(columns)):
        return plan, potential_a, potential_b
    cost, a, b = np.ascontiguousarray(cost[np.ix_(rows, columns)]), a[rows], b[columns]
    if not np.isfinite(cost).all():
        plan[:] = np.nan
        return plan, potential_a, potential_b
    found, log = ot.lp.emd(a / a.sum(), b / b.sum(), cost, numItermax=MAX_ITERATIONS, log=True)
    if log["warning"] is not None:
        raise ValueError(f"Exact optimal transport of {len(rows)} x {len(columns)} tokens failed: {log['warning']}")
    plan[np.ix_(rows, columns)] = found
    potential_a[rows], potential_b[columns] = log["u"], log["v"]
    return plan, potential_a, potential_b
