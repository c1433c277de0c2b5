"""Transport distances between weighted token sets, one class for each way to compute them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial

import torch
from torch import Tensor, nn

from avcap.transport import annealed_sinkhorn, as_full_precision, emd, full_precision, transport_cost
from avcap.transport.cost import centred


class TransportDistance(nn.Module, ABC):
    """What it costs to move one token set onto another, with cost ``|x_i - y_j|^2``; no parameters."""

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """The distance, clip by clip.

        Args:
            x: Tokens ``[B, n, C]``, finite also where they have no mass.
            y: Tokens ``[B, m, C]``.
            a: Masses of ``x`` ``[B, n]``, not negative, of sum 1, or all 0 for a clip that lacks the set.
            b: Masses of ``y`` ``[B, m]``.

        Returns:
            Distances ``[B]`` with gradients by tokens and masses; 0 for a clip that lacks a set.
        """


class ExactTransport(TransportDistance):
    """The earth mover's distance by POT's network simplex, on the CPU: what the official code computes, and the reference."""

    def forward(self, x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Distances ``[B]`` for tokens ``[B, n, C]``, ``[B, m, C]`` of masses ``[B, n]``, ``[B, m]``."""
        return transport_cost(x, y, a, b, solve=emd)


class SinkhornTransport(TransportDistance):
    """The transport cost ``<P, cost>`` of the entropic plan, batched on any device.

    Args:
        epsilon: Entropic regularisation as a share of the mean cost; the cost lies above the exact one by less than 1 % of it
            at the default and 512 x 576 tokens whose mean cost is not many times the optimum.
        tolerance: Largest L1 error of the marginals of a clip that counts as converged.
        max_iterations: Iterations at the final regularisation, at most.
    """

    def __init__(self, *, epsilon: float = 0.005, tolerance: float = 0.02, max_iterations: int = 500) -> None:
        super().__init__()
        if not (epsilon > 0 and tolerance > 0 and max_iterations >= 1):
            raise ValueError(
                f"SinkhornTransport needs epsilon and tolerance above 0 and at least 1 iteration, got {epsilon}, "
                f"{tolerance} and {max_iterations}."
            )
        self.solve = partial(annealed_sinkhorn, epsilon=epsilon, tolerance=tolerance, max_iterations=max_iterations)

    def forward(self, x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Distances ``[B]`` for tokens ``[B, n, C]``, ``[B, m, C]`` of masses ``[B, n]``, ``[B, m]``."""
        return transport_cost(x, y, a, b, solve=self.solve)


class DebiasedTransport(TransportDistance):
    """The debiased Sinkhorn divergence of geomloss: 0 for equal sets, whatever the regularisation.

    Args:
        epsilon: Entropic regularisation as a share of the mean cost.
        scaling: Ratio of successive blurs of the annealing, between 0 and 1; higher is slower and more exact.
    """

    def __init__(self, *, epsilon: float = 0.005, scaling: float = 0.5) -> None:
        super().__init__()
        if not (epsilon > 0 and 0 < scaling < 1):
            raise ValueError(
                f"DebiasedTransport needs epsilon above 0 and scaling between 0 and 1, got {epsilon}, {scaling}."
            )
        self.epsilon = epsilon
        self.scaling = scaling

    def forward(self, x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Distances ``[B]`` for tokens ``[B, n, C]``, ``[B, m, C]`` of masses ``[B, n]``, ``[B, m]``."""
        from geomloss import SamplesLoss

        with full_precision(x.device):
            x, y = centred(as_full_precision(x), as_full_precision(y))
            if x.is_meta or 0 in (x.shape[1], y.shape[1]):
                return 0 * (x.sum(dim=(1, 2)) + y.sum(dim=(1, 2)) + a.sum(dim=1) + b.sum(dim=1))
            both = (a > 0).any(dim=1) & (b > 0).any(dim=1)  # [B]
            broken = ~(x.isfinite().all(dim=2).all(dim=1) & y.isfinite().all(dim=2).all(dim=1))  # [B]
            x, y = (t.masked_fill(broken.view(-1, 1, 1), 0) for t in (x, y))  # geomloss's schedule fails for all clips
            a, b = _measure(a.to(x.dtype)), _measure(b.to(x.dtype))
            unit = _root_mean_cost(x.detach(), y.detach(), a.detach(), b.detach())  # [B, 1, 1]
            # geomloss halves the cost: blur^2 = epsilon / 2 in units of the mean cost
            solver = SamplesLoss(
                "sinkhorn", p=2, blur=(self.epsilon / 2) ** 0.5, scaling=self.scaling, backend="tensorized"
            )
            values = 2 * unit.view(-1).square() * solver(a, x / unit, b, y / unit)  # [B]
            return torch.where(both, values, 0).masked_fill(broken, torch.nan)


def _measure(mass: Tensor) -> Tensor:
    """The masses, uniform for a clip that has none (a finite value, to be dropped)."""
    return torch.where((mass > 0).any(dim=1, keepdim=True), mass, 1 / mass.shape[1])


def _root_mean_cost(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Root of the cost of the independent plan ``sum_ij a_i b_j |x_i - y_j|^2``, or 1 where that is 0; ``[B, 1, 1]``."""
    a, b = a.unsqueeze(-1), b.unsqueeze(-1)
    squares = (a * x.square()).sum(dim=(1, 2)) + (b * y.square()).sum(dim=(1, 2))
    mean = squares - 2 * ((a * x).sum(dim=1) * (b * y).sum(dim=1)).sum(dim=1)  # [B]
    return torch.where(mean > 0, mean, 1).sqrt().view(-1, 1, 1)
