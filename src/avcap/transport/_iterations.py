"""The two ways to run the same Sinkhorn iterations; both return the log plan.

With ``Z = -cost / epsilon`` and log marginals ``la``, ``lb`` one iteration is, as in LAVCap's code,

    u <- la - logsumexp_columns(Z + v)      (rows, the visual side, first)
    v <- lb - logsumexp_rows(Z + u)         (columns, the audio side, last: their marginals are exact)

and the result is ``Z + u + v``. Scaling form does the same with ``exp`` taken once: ``K = exp(Z)``, ``u <- a / K v``,
``v <- b / K'u``; about six times faster, but ``K`` has to fit the exponent of the number format.
"""

from __future__ import annotations

import torch
from torch import Tensor

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
    """Iterate on the scalings themselves, in place: fast, without gradient, for spans up to :data:`SAFE_SPAN`.

    Takes what :func:`log_domain` takes and returns the same log plan ``[B, n, m]``, without a graph.
    """
    with torch.no_grad():
        score = score - score.amax(dim=(1, 2), keepdim=True)
        kernel = score.exp()  # [B, n, m]
        a, b = log_a.exp().unsqueeze(2), log_b.exp().unsqueeze(1)  # [B, n, 1], [B, 1, m]
        u = torch.empty_like(a)
        v = (b > 0).to(b.dtype)
        buffer = torch.empty_like(kernel)
        for _ in range(iterations):
            torch.sum(torch.mul(kernel, v, out=buffer), dim=2, keepdim=True, out=u)
            torch.div(a, u, out=u)
            torch.sum(torch.mul(kernel, u, out=buffer), dim=1, keepdim=True, out=v)
            torch.div(b, v, out=v)
        return score.add_(u.log_()).add_(v.log_())
