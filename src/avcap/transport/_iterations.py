"""The ways to run the same Sinkhorn iterations; all return the log plan.

With ``Z = -cost / epsilon`` and log marginals ``la``, ``lb`` one iteration is, as in LAVCap's code,

    u <- la - logsumexp_columns(Z + v)      (rows, the visual side, first)
    v <- lb - logsumexp_rows(Z + u)         (columns, the audio side, last: their marginals are exact)

and the result is ``Z + u + v``. Scaling form does the same with ``exp`` taken once: ``K = exp(Z)``, ``u <- a / K v``,
``v <- b / K'u``; many times faster on a CPU, but ``K`` has to fit the exponent of the number format. On a CUDA device
:mod:`avcap.transport.one_launch` does what :func:`log_domain` does, where Triton is installed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

log = logging.getLogger(__name__)

Iterations = Callable[..., Tensor]

SAFE_SPAN = {torch.float32: 40.0, torch.float64: 300.0}
"""Largest ``max(Z) - min(Z)`` of a clip for the scaling form.

With uniform marginals the scalings stay within ``exp(+-span)`` times the number of tokens and their products with ``K``
within its square: ``exp(80) = 6e34`` leaves float32 (up to 3e38) room for a few thousand tokens.
"""


def log_domain(score: Tensor, log_a: Tensor, log_b: Tensor, *, iterations: int) -> Tensor:
    """Iterate on log scalings: safe for any score, differentiable.

    Args:
        score: ``Z``, ``[B, n, m]``, finite.
        log_a: Log row marginals ``[B, n]``, ``-inf`` where there is no mass.
        log_b: Log column marginals ``[B, m]``, ``-inf`` where there is no mass.
        iterations: Pairs of updates.

    Returns:
        The log plan ``[B, n, m]``.
    """
    log_a, log_b = log_a.unsqueeze(2), log_b.unsqueeze(1)  # [B, n, 1], [B, 1, m]
    # A token without mass must not take part in the first sum over columns, where every other v is still 0.
    v = torch.zeros_like(log_b).masked_fill(torch.isneginf(log_b), -torch.inf)  # [B, 1, m]
    u = torch.zeros_like(log_a)  # [B, n, 1]
    for _ in range(iterations):
        u = log_a - torch.logsumexp(score + v, dim=2, keepdim=True)
        v = log_b - torch.logsumexp(score + u, dim=1, keepdim=True)
    return score + u + v


def scaling_form(score: Tensor, log_a: Tensor, log_b: Tensor, *, iterations: int) -> Tensor:
    """Iterate on the scalings themselves: fast on a CPU, without gradient, for spans up to :data:`SAFE_SPAN`.

    Takes what :func:`log_domain` takes and returns the same log plan ``[B, n, m]``, without a graph. The scalings are row
    vectors, which a CPU multiplies with a batch of small matrices several times as fast as columns.
    """
    with torch.no_grad():
        score = score - score.amax(dim=(1, 2), keepdim=True)
        kernel = score.exp()  # [B, n, m]
        turned = kernel.mT.contiguous()  # [B, m, n]
        a, b = log_a.exp().unsqueeze(1), log_b.exp().unsqueeze(1)  # [B, 1, n], [B, 1, m]
        u = torch.empty_like(a)
        v = (b > 0).to(b.dtype)
        for _ in range(iterations):
            torch.div(a, torch.bmm(v, turned, out=u), out=u)
            torch.div(b, torch.bmm(u, kernel, out=v), out=v)
        return score.add_(u.log_().mT).add_(v.log_())


def quickest(score: Tensor, *, uniform: bool) -> Iterations:
    """Choose how to iterate on ``score`` ``[B, n, m]`` without gradient; ``uniform`` says that the real tokens weigh the same.

    On a CPU the choice reads one number of the scores; no accelerator is waited for.
    """
    if score.device.type == "cuda":
        return _launched(score) or log_domain
    if score.device.type != "cpu" or not uniform:
        return log_domain
    span = score.amax(dim=(1, 2)) - score.amin(dim=(1, 2))  # [B]
    return scaling_form if bool((span.max() <= SAFE_SPAN[score.dtype]).item()) else log_domain


def _launched(score: Tensor) -> Iterations | None:
    """Return the Triton kernel where it runs and takes the scores."""
    try:
        from avcap.transport.one_launch import fits_one_launch, one_launch
    except ImportError:
        return None
    return one_launch if fits_one_launch(score) and _runs(score.device, one_launch) else None


@cache
def _runs(device: torch.device, launch: Iterations) -> bool:
    """Try the kernel once: it needs a compiler, and a card that Triton knows."""
    one = torch.zeros(1, 1, 1, device=device)
    try:
        launch(one, one[0], one[0], iterations=1)
    except Exception as error:
        log.warning("Sinkhorn runs in many launches, since Triton cannot be used here: %s", error)
        return False
    return True
