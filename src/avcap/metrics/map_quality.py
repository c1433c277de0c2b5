"""The share of an assignment map on the audio-visual pairs that belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from avcap.types import AssignmentMap


def first_map(maps: Mapping[str, AssignmentMap]) -> AssignmentMap:
    """Return the map that is measured, where a fusion makes several; its plan in float32."""
    found = next(iter(maps.values()))
    return found._replace(plan=found.plan.float())


def mass_on_pairs(plan: Tensor, truth: Tensor) -> Tensor:
    """Compute the share of a map's mass on true pairs.

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


def uniform_plan(plan: Tensor) -> Tensor:
    """Return the uniform map ``[B, Nv, Na]``: 1 where both the row and the column of ``plan`` have mass, else 0."""
    return ((plan.sum(2, keepdim=True) > 0) & (plan.sum(1, keepdim=True) > 0)).double()


def pair_truth(
    audio: Sequence[tuple[float, float]],
    visual: Sequence[tuple[float, float]],
    *,
    audio_times: Tensor,
    visual_times: Tensor,
) -> Tensor:
    """Find the token pairs that belong together, from the times of events that are both heard and seen.

    A token belongs to an event if its time lies in the event's span. The two streams have times of their own: audio tokens cover
    the spectrogram with its padding (512 rows are 5.12 s), frames the clip (5 s).

    Args:
        audio: Start and end of each event's sound, in seconds.
        visual: Start and end of each event's appearance, in the same order.
        audio_times: Middle of each audio token, in seconds ``[Na]``; NaN where unknown: in no span.
        visual_times: Time of each visual token's frame ``[Nv]``.

    Returns:
        ``[Nv, Na]`` bool.

    Raises:
        ValueError: If the numbers of audio and visual spans differ.
    """
    if len(audio) != len(visual):
        raise ValueError(
            f"every event needs one span in the audio and one in the video; got {len(audio)} and {len(visual)}"
        )
    heard = _inside(audio, audio_times)  # [E, Na]
    seen = _inside(visual, visual_times)  # [E, Nv]
    return torch.einsum("ev,ea->va", seen.float(), heard.float()) > 0


def _inside(spans: Sequence[tuple[float, float]], times: Tensor) -> Tensor:
    """Return whether each time lies in each span: ``[spans, times]`` bool; to 0.1 ms, which float32 holds for ten minutes."""
    bounds = torch.tensor(list(spans), dtype=torch.float64).reshape(-1, 2, 1)
    times = times.double().round(decimals=4)
    return (bounds[:, 0] <= times) & (times < bounds[:, 1])


class MapQuality(Metric):
    """Mean share of plan mass on true pairs, beside that of a uniform plan on the same clips.

    A clip counts if its truth has at least one true and one false pair among the tokens that are real (those with any mass);
    on the others every plan scores the same.
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
        """Add assignment maps ``[B, Nv, Na]``, not negative, and their true pairs ``[B, Nv, Na]`` bool.

        Raises:
            ValueError: If the shapes differ or the plan is negative somewhere.
        """
        quality = mass_on_pairs(plan, truth)
        share = mass_on_pairs(uniform_plan(plan), truth)
        counts = (share > 0) & (share < 1) & quality.isfinite()
        self.mass += quality[counts].sum()
        self.uniform += share[counts].sum()
        self.clips += counts.sum()

    def compute(self) -> dict[str, Tensor]:
        """Compute the means over the clips that count.

        Returns:
            ``map_mass`` (of the plan), ``map_uniform`` (of a uniform plan), ``map_gain`` (their ratio: 1 is chance),
            ``map_skill`` (how much of the way from the uniform plan's mass to all of it: 0 is chance, 1 all mass on true pairs),
            ``map_clips``. NaN where no clip counts.
        """
        return {
            "map_mass": self.mass / self.clips,
            "map_uniform": self.uniform / self.clips,
            "map_gain": self.mass / self.uniform,
            "map_skill": (self.mass - self.uniform) / (self.clips - self.uniform),
            "map_clips": self.clips,
        }
