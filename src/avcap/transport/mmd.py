"""Maximum mean discrepancy between token sets, batched, with a sum of Gaussian kernels.

``MMD^2 = E k(x, x') - 2 E k(x, y) + E k(y, y')`` (Gretton et al., "A Kernel Two-Sample Test", JMLR 2012, equation 5: the
biased estimator, pairs of a token with itself included) with

    k(x, y) = sum_e exp(-|x - y|^2 / (2^e h)),   e = -2 .. 2 for five kernels.

The exponentials are powers of the widest one, ``t, t^2, t^4, ...``, so one ``exp`` serves all kernels. The gradient has the
closed form ``sum_j b_j k'(|x_i - y_j|^2) 2 (x_i - y_j)`` and is computed on the way: no ``[B, n, m]`` tensor outlives its chunk
of clips.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from avcap.transport.cost import centred, check_points, sums_of_squares
from avcap.transport.precision import as_full_precision, full_precision

CHUNK_CPU, CHUNK_ACCELERATOR = 2**21, 2**26
"""Pairs of tokens compared at once: on a CPU what its cache holds, elsewhere 256 MB in float32."""


def mmd(
    x: Tensor, y: Tensor, *, mask_x: Tensor | None = None, mask_y: Tensor | None = None, kernels: int = 5
) -> Tensor:
    """Compute the squared MMD of two token sets for each clip, in float32 also under autocast (float64 stays).

    The bandwidth is that of :func:`mean_squared_distance`, without a gradient, as in DALI's code.

    Args:
        x: Tokens ``[B, n, C]``.
        y: Tokens ``[B, m, C]``.
        mask_x: True where a token of ``x`` is real ``[B, n]``; None: all are. Others have no influence, if finite.
        mask_y: True where a token of ``y`` is real ``[B, m]``.
        kernels: Gaussian kernels, each twice as wide as the one before; the middle one has the bandwidth itself.

    Returns:
        Values ``[B]``, not negative but for rounding; 0 for a clip that lacks a set.

    Raises:
        ValueError: if the sets differ in batch or width, or ``kernels`` is below 1.

    Example:
        >>> points = torch.tensor([[[0.0], [1.0], [5.0]]])
        >>> round(mmd(points, points.flip(1)).item(), 6), round(mmd(points, points + 9).item(), 2)
        (0.0, 4.88)
    """
    check_points(x, y)
    if kernels < 1:
        raise ValueError(f"mmd: kernels is {kernels}, it must be at least 1.")
    with full_precision(x.device):
        x, y = as_full_precision(x), as_full_precision(y)
        weights_x, weights_y = _weights(x, mask_x), _weights(y, mask_y)  # [B, n], [B, m]
        both = (weights_x.sum(dim=1) > 0) & (weights_y.sum(dim=1) > 0)  # [B]
        x, y = centred(x, y)
        bandwidth = mean_squared_distance(x.detach(), y.detach(), mask_x=mask_x, mask_y=mask_y)  # [B]
        widest = torch.where(bandwidth > 0, bandwidth, 1) * 2.0 ** (kernels - 1 - kernels // 2)
        grad = torch.is_grad_enabled()
        wanted = (grad and x.requires_grad, grad and y.requires_grad)
        return _MMD.apply(x, y, weights_x, weights_y, widest, kernels, wanted).masked_fill(~both, 0)


def mean_squared_distance(
    x: Tensor, y: Tensor, *, mask_x: Tensor | None = None, mask_y: Tensor | None = None
) -> Tensor:
    """Compute the mean of ``|z_i - z_j|^2`` over the ordered pairs of different tokens of ``x`` and ``y`` together: the bandwidth.

    ``sum_ij |z_i - z_j|^2 = 2 N sum_i |z_i - mean|^2``, so no pair has to be looked at.

    Args:
        x: Tokens ``[B, n, C]``, finite.
        y: Tokens ``[B, m, C]``, finite.
        mask_x: True where a token of ``x`` is real ``[B, n]``; None: all are.
        mask_y: True where a token of ``y`` is real ``[B, m]``.

    Returns:
        Means ``[B]``; 0 for a clip with fewer than two tokens.
    """
    sets = [(as_full_precision(t), _real(t, mask)) for t, mask in ((x, mask_x), (y, mask_y))]
    zero = x.new_zeros(())
    count = sum((real.sum(dim=1) for _, real in sets), zero)  # [B]
    total = sum(((t * real.unsqueeze(-1)).sum(dim=1) for t, real in sets), zero)  # [B, C]
    mean = (total / count.clamp_min(1).unsqueeze(-1)).unsqueeze(1)  # [B, 1, C]
    spread = sum(((real * (t - mean).square().sum(-1)).sum(dim=1) for t, real in sets), zero)  # [B]
    return 2 * spread / (count - 1).clamp_min(1)


class _MMD(torch.autograd.Function):
    """The three terms, chunk of clips by chunk, each with its gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, a: Tensor, b: Tensor, widest: Tensor, kernels: int, wanted: tuple[bool, bool]
    ) -> Tensor:
        pairs = max(1, (x.shape[1] + y.shape[1]) ** 2)
        clips = max(1, (CHUNK_CPU if x.device.type == "cpu" else CHUNK_ACCELERATOR) // pairs)
        values, grads = [], []
        for px, py, pa, pb, ph in zip(*(t.split(clips) for t in (x, y, a, b, widest)), strict=True):
            by_x, by_y = wanted
            xx = _mean_kernel(px, px, pa, pa, ph, kernels, (by_x, False))
            xy = _mean_kernel(px, py, pa, pb, ph, kernels, wanted)
            yy = _mean_kernel(py, py, pb, pb, ph, kernels, (by_y, False))
            values.append(xx.value - 2 * xy.value + yy.value)
            grads.append((_combined(xx.by_x, xy.by_x), _combined(yy.by_x, xy.by_y)))
        ctx.save_for_backward(*(torch.cat(side) if side[0] is not None else None for side in zip(*grads, strict=True)))
        return torch.cat(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        by_x, by_y = (None if g is None else g * grad.view(-1, 1, 1) for g in ctx.saved_tensors)
        return by_x, by_y, None, None, None, None, None


class _Term(NamedTuple):
    value: Tensor  # [b]
    by_x: Tensor | None  # [b, n, C], gradient by the first set
    by_y: Tensor | None  # [b, m, C], by the second


def _combined(within: Tensor | None, between: Tensor | None) -> Tensor | None:
    """Compute the gradient for a set; its own term has it as both arguments, so this term's gradient counts twice."""
    return None if within is None or between is None else 2 * (within - between)


def _mean_kernel(
    x: Tensor, y: Tensor, a: Tensor, b: Tensor, widest: Tensor, kernels: int, wanted: tuple[bool, bool]
) -> _Term:
    """Compute ``sum_ij a_i b_j k(x_i, y_j)`` and its gradients for the points."""
    power = sums_of_squares(x, y).baddbmm_(x, y.mT, alpha=-2).clamp_min_(0)  # [b, n, m]
    power.div_(-widest.view(-1, 1, 1)).exp_()  # t, the widest kernel
    total = power.clone()  # t + t^2 + t^4 + ...
    slope = power.clone() if any(wanted) else None  # t + 2 t^2 + 4 t^4 + ..., the derivative by -distance / widest
    for exponent in range(1, kernels):
        power.square_()
        total.add_(power)
        if slope is not None:
            slope.add_(power, alpha=2.0**exponent)
    value = torch.bmm(torch.bmm(a.unsqueeze(1), total), b.unsqueeze(2)).view(-1)
    factor = -2 / widest.view(-1, 1, 1)
    by_x = factor * _pull(x, y, a, b, slope) if slope is not None and wanted[0] else None
    by_y = factor * _pull(y, x, b, a, slope.mT) if slope is not None and wanted[1] else None
    return _Term(value, by_x, by_y)


def _pull(x: Tensor, y: Tensor, a: Tensor, b: Tensor, slope: Tensor) -> Tensor:
    """Compute ``a_i sum_j b_j slope_ij (x_i - y_j)``, ``[b, n, C]``."""
    mass = torch.bmm(b.unsqueeze(1), slope.mT).mT  # [b, n, 1]
    return a.unsqueeze(-1) * (mass * x - slope @ (b.unsqueeze(-1) * y))


def _real(tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Return 1 for a real token, 0 for padding ``[B, N]``."""
    if mask is None:
        return torch.ones(
            tokens.shape[:2], dtype=torch.promote_types(tokens.dtype, torch.float32), device=tokens.device
        )
    return mask.to(torch.promote_types(tokens.dtype, torch.float32))


def _weights(tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Return equal weights ``[B, N]`` that sum to 1 over the real tokens."""
    real = _real(tokens, mask)
    return real / real.sum(dim=1, keepdim=True).clamp_min(1)
