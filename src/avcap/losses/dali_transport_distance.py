"""Transport distances between weighted token sets, one class for each way to compute them (DALI's OT objectives)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial

import torch
from torch import Tensor, nn

from avcap.transport import (
    annealed_sinkhorn,
    as_full_precision,
    emd,
    full_precision,
    sinkhorn_divergence,
    transport_cost,
)
from avcap.transport.cost import centred


class TransportDistance(nn.Module, ABC):
    """The transport cost between two token sets, with cost ``|x_i - y_j|^2``; no parameters."""

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Compute the distance ``[B]`` of tokens ``[B, n, C]`` and ``[B, m, C]``; see :func:`avcap.transport.transport_cost`.

        Their masses ``[B, n]`` and ``[B, m]`` are not negative, of sum 1, or all 0 for a clip that lacks the set.
        """


class ExactTransport(TransportDistance):
    """The earth mover's distance by POT's network simplex, on the CPU: what the official code computes, and the reference."""

    def forward(self, x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Compute distances ``[B]`` for tokens ``[B, n, C]``, ``[B, m, C]`` of masses ``[B, n]``, ``[B, m]``."""
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
        """Compute distances ``[B]`` for tokens ``[B, n, C]``, ``[B, m, C]`` of masses ``[B, n]``, ``[B, m]``."""
        return transport_cost(x, y, a, b, solve=self.solve)


class DebiasedTransport(TransportDistance):
    """The debiased Sinkhorn divergence: 0 for equal sets, whatever the regularisation.

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
        """Compute distances ``[B]`` for tokens ``[B, n, C]``, ``[B, m, C]`` of masses ``[B, n]``, ``[B, m]``."""
        with full_precision(x.device):
            x, y = centred(as_full_precision(x), as_full_precision(y))
            unit = _root_mean_cost(x.detach(), y.detach(), a.detach(), b.detach())  # [B, 1, 1]
            # the divergence halves the cost: blur^2 = epsilon / 2 in units of the mean cost
            blur = (self.epsilon / 2) ** 0.5
            values = sinkhorn_divergence(x / unit, y / unit, a=a, b=b, blur=blur, scaling=self.scaling)  # [B]
            return 2 * unit.view(-1).square() * values


def _root_mean_cost(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Compute the root of the cost of the independent plan ``sum_ij a_i b_j |x_i - y_j|^2``, or 1 where that is 0; ``[B, 1, 1]``."""
    a, b = a.unsqueeze(-1), b.unsqueeze(-1)
    squares = (a * x.square()).sum(dim=(1, 2)) + (b * y.square()).sum(dim=(1, 2))
    mean = squares - 2 * ((a * x).sum(dim=1) * (b * y).sum(dim=1)).sum(dim=1)  # [B]
    return torch.where(mean > 0, mean, 1).sqrt().view(-1, 1, 1)
