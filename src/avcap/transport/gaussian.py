"""Optimal transport between two normal distributions, which is a linear map."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_map(source: Tensor, target: Tensor, *, floor: float = 1e-2) -> Tensor:
    """Compute the matrix ``A`` of the optimal map ``x -> mean_t + A (x - mean_s)`` from one normal distribution to another.

    ``A = S^(-1/2) (S^(1/2) T S^(1/2))^(1/2) S^(-1/2)`` is the one symmetric positive matrix with ``A S A = T`` (Olkin and
    Pukelsheim 1982; Peyré and Cuturi, "Computational Optimal Transport", remark 2.31).

    Args:
        source: Covariance ``S`` ``[C, C]``.
        target: Covariance ``T`` ``[C, C]``.
        floor: Eigenvalues of ``S`` below this share of the largest count as that: directions in which the source hardly varies
            are not blown up.

    Returns:
        ``A`` ``[C, C]``, in the precision of ``source``; 0 where the source does not vary at all.

    Raises:
        ValueError: if ``floor`` is not in [0, 1].
    """
    if not 0 <= floor <= 1:
        raise ValueError(f"floor is a share of the largest eigenvalue in [0, 1], not {floor}.")
    values, vectors = torch.linalg.eigh(source)  # [C], [C, C]
    values = values.clamp_min(floor * values[-1].clamp_min(0))
    inverse = torch.where(values > 0, values.clamp_min(torch.finfo(values.dtype).tiny).rsqrt(), 0)
    root, inverse_root = ((vectors * scale) @ vectors.mT for scale in (values.clamp_min(0).sqrt(), inverse))
    return inverse_root @ _square_root(root @ target @ root) @ inverse_root


def _square_root(matrix: Tensor) -> Tensor:
    """Compute the symmetric root of a symmetric matrix ``[C, C]``; eigenvalues below 0, due to rounding, count as 0."""
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.mT
