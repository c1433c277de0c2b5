"""Sinkhorn's iterations of a batch as one launch on a CUDA device, by a Triton kernel."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

LARGEST = 2**14  # scores of a clip that one block of threads keeps in its registers


@triton.jit
def _iterate(score, log_a, log_b, log_plan, iterations, n, m, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Solve the clip of this program; ROWS and COLUMNS are n and m, rounded up to powers of two."""
    clip = tl.program_id(0).to(tl.int64)
    i, j = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    place = clip * n * m + i[:, None] * m + j[None, :]
    inside = (i[:, None] < n) & (j[None, :] < m)
    la = tl.load(log_a + clip * n + i, mask=i < n, other=float("-inf"))
    lb = tl.load(log_b + clip * m + j, mask=j < m, other=float("-inf"))
    z = tl.load(score + place, mask=inside, other=0.0)
    u = tl.zeros_like(la)
    v = tl.where(lb == float("-inf"), float("-inf"), 0.0)
    for _ in range(iterations):
        x = z + v[None, :]
        top = tl.max(x, 1)
        u = la - top - tl.log(tl.sum(tl.exp(x - top[:, None]), 1))
        x = z + u[:, None]
        top = tl.max(x, 0)
        v = lb - top - tl.log(tl.sum(tl.exp(x - top[None, :]), 0))
    tl.store(log_plan + place, z + u[:, None] + v[None, :], mask=inside)


def one_launch(score: Tensor, log_a: Tensor, log_b: Tensor, *, iterations: int) -> Tensor:
    """Do what :func:`avcap.transport._iterations.log_domain` does, for float32 and at most :data:`LARGEST` padded scores, without a graph."""
    clips, n, m = score.shape
    rows, columns = triton.next_power_of_2(n), triton.next_power_of_2(m)
    score, log_a, log_b = (x.detach().contiguous() for x in (score, log_a, log_b))
    log_plan = torch.empty_like(score)
    _iterate[(clips,)](
        *(score, log_a, log_b, log_plan, iterations, n, m),
        ROWS=rows,
        COLUMNS=columns,
        num_warps=4 if rows * columns <= LARGEST // 4 else 8,
    )
    return log_plan


def fits_one_launch(score: Tensor) -> bool:
    """Return whether :func:`one_launch` takes scores ``[B, n, m]``."""
    n, m = score.shape[1:]
    return score.dtype == torch.float32 and triton.next_power_of_2(n) * triton.next_power_of_2(m) <= LARGEST
