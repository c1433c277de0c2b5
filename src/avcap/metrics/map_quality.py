"""How much of an assignment map falls on the audio-visual pairs that really belong together."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


def map_quality(plan: Tensor, truth: Tensor) -> Tensor:
    """The share of a map's mass on true pairs.

    Args:
        plan: Assignment maps ``[B, Nv, Na]``, not negative; need not sum to 1.
        truth: Which pairs of a visual and an audio token show and sound the same event ``[B, Nv, Na]`` bool.

    Returns:
        ``sum(plan * truth) / sum(plan)`` per clip ``[B]``, between 0 and 1; NaN where the plan has no mass.

    Raises:
        ValueError: If the shapes differ or the plan is negative somewhere.
    """
    if plan.shape != truth.shape or plan.dim() != 3:
        raise ValueError(f"map and truth must both be [B, Nv, Na]; got {tuple(plan.shape)} and {tuple(truth.shape)}")
    if bool((plan < 0).any()):
        raise ValueError("a map with negative entries is no plan; if it is a log plan, pass its exp()")
    plan = plan.double()
    return (plan * truth).sum((1, 2)) / plan.sum((1, 2))


class MapQuality(Metric):
    """Mean share of plan mass on true pairs, beside that of a uniform plan on the same clips.

    A clip counts if its truth has at least one true and one false pair; on the others every plan scores the same.
    """

    full_state_update = False
    higher_is_better = True
    mass: Tensor
    uniform: Tensor
    clips: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("mass", "uniform", "clips"):
            self.add_state(name, default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, plan: Tensor, truth: Tensor) -> None:
        """Adds a batch.

        Args:
            plan: Assignment maps ``[B, Nv, Na]``, not negative.
            truth: True pairs ``[B, Nv, Na]`` bool.

        Raises:
            ValueError: If the shapes differ or the plan is negative somewhere.
        """
        share = truth.double().mean((1, 2)) if truth.dim() == 3 else truth.double()
        quality = map_quality(plan, truth)
        counts = (share > 0) & (share < 1) & quality.isfinite()
        self.mass += quality[counts].sum()
        self.uniform += share[counts].sum()
        self.clips += counts.sum()

    def compute(self) -> dict[str, Tensor]:
        """Means over the clips that count.

        Returns:
            ``map_mass`` (of the plan), ``map_uniform`` (of a uniform plan), ``map_gain`` (their ratio: 1 is chance),
            ``map_clips``. NaN where no clip counts.
        """
        return {
            "map_mass": self.mass / self.clips,
            "map_uniform": self.uniform / self.clips,
            "map_gain": self.mass / self.uniform,
            "map_clips": self.clips,
        }
