"""The debiased Sinkhorn divergence between token sets, by geomloss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avcap.layers.masking import have_both, masked_mean, zero_padding
from avcap.layers.normalise import l2_normalise
from avcap.transport import as_full_precision, full_precision
from avcap.types import Tokens


def sinkhorn_divergence(x: Tokens, y: Tokens, *, blur: float = 0.05, scaling: float = 0.5) -> Tensor:
    """``OT(x, y) - (OT(x, x) + OT(y, y)) / 2`` with cost ``|x_i - y_j|^2 / 2`` and ``epsilon = blur^2``, clip by clip.

    Feydy et al., "Interpolating between Optimal Transport and MMD using Sinkhorn Divergences" (AISTATS 2019). It is never
    negative and is 0 for equal sets. Real tokens weigh the same, padding nothing. float32 also under autocast.

    Args:
        x: Tokens ``[B, N, C]``.
        y: Tokens ``[B, M, C]``.
        blur: Length below which differences are blurred, in the unit of the tokens.
        scaling: Ratio of successive steps of the annealing, between 0 and 1; higher is slower and more exact.

    Returns:
        Divergences ``[B]``; 0 (without gradient) for a clip in which either set is empty.
    """
    from geomloss import SamplesLoss

    with full_precision(x.x.device):
        if 0 in (x.x.shape[1], y.x.shape[1]):
            return as_full_precision(x.x).sum(dim=(1, 2)) * 0 + as_full_precision(y.x).sum(dim=(1, 2)) * 0
        solver = SamplesLoss("sinkhorn", p=2, blur=blur, scaling=scaling, debias=True, backend="tensorized")
        (weights_x, points_x, some_x), (weights_y, points_y, some_y) = _measure(x), _measure(y)
        centre = (_mean(weights_x, points_x) + _mean(weights_y, points_y)).detach() / 2  # [B, 1, C]
        # distances do not change; geomloss expands them into squares, and large ones would cancel
        values = solver(weights_x, points_x - centre, weights_y, points_y - centre)  # [B]
        return torch.where(some_x & some_y, values, 0)


def _measure(tokens: Tokens) -> tuple[Tensor, Tensor, Tensor]:
    """Weights ``[B, N]``, points ``[B, N, C]``, and which clips have any real token ``[B]``.

    Padding is moved onto the first real token: it has no weight, but geomloss takes the scale of its annealing from the
    extent of all points.
    """
    tokens = zero_padding(tokens)
    x, mask = as_full_precision(tokens.x), tokens.full_mask()
    some = mask.any(dim=1)  # [B]
    first = mask.to(torch.uint8).argmax(dim=1)  # [B]
    anchor = x.gather(1, first.view(-1, 1, 1).expand(-1, 1, x.shape[2]))  # [B, 1, C]
    x = torch.where(mask.unsqueeze(-1), x, anchor)
    weights = (mask | ~some.unsqueeze(1)).to(x.dtype)  # uniform where there is nothing: a finite value, to be dropped
    return weights / weights.sum(dim=1, keepdim=True), x, some


def _mean(weights: Tensor, points: Tensor) -> Tensor:
    return (weights.unsqueeze(-1) * points).sum(dim=1, keepdim=True)  # [B, 1, C]


class SinkhornDivergence(nn.Module):
    """Mean Sinkhorn divergence between two token sets, over the clips that have both.

    Args:
        blur: Length below which differences are blurred, in the unit of the tokens.
        scaling: Ratio of successive annealing steps, between 0 and 1.
        normalise: L2-normalise the tokens first, which makes one blur fit all encoders.
        weight: Factor of the loss.
    """

    def __init__(
        self, *, blur: float = 0.05, scaling: float = 0.5, normalise: bool = False, weight: float = 1.0
    ) -> None:
        super().__init__()
        if not blur > 0:
            raise ValueError(f"blur is {blur}, it must be above 0.")
        if not 0 < scaling < 1:
            raise ValueError(f"scaling is {scaling}, it must lie between 0 and 1.")
        self.blur = blur
        self.scaling = scaling
        self.normalise = normalise
        self.weight = weight

    def forward(self, x: Tokens, y: Tokens) -> Tensor:
        """The weighted loss, a scalar, for tokens ``[B, N, C]`` and ``[B, M, C]``."""
        if self.normalise:
            x, y = x._replace(x=l2_normalise(x.x)), y._replace(x=l2_normalise(y.x))
        values = sinkhorn_divergence(x, y, blur=self.blur, scaling=self.scaling)  # [B]
        return self.weight * masked_mean(values, have_both(x, y))
