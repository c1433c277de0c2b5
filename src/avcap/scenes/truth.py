"""The pairs of tokens of a batch that belong together, for clips with known events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from avcap.metrics.map_quality import pair_truth
from avcap.scenes.events import SceneEvents
from avcap.types import AssignmentMap

if TYPE_CHECKING:
    from torch import Tensor


class SceneTruth:
    """True pairs of the tokens of clips.

    Args:
        scenes: Clip id -> its scene.
    """

    def __init__(self, scenes: Mapping[str, SceneEvents]) -> None:
        self.scenes = scenes

    def __call__(self, ids: Sequence[str], found: AssignmentMap) -> Tensor:
        """Return the true pairs ``[B, Nv, Na]`` bool of a map's tokens; none for a clip whose events are unknown.

        A token whose time is not known belongs to no event.
        """
        visual_time, audio_time = found.visual_time.cpu(), found.audio_time.cpu()
        truth = torch.zeros(found.plan.shape, dtype=torch.bool)
        for row, clip in enumerate(ids):
            scene = self.scenes.get(clip)
            if scene is not None:
                paired = [event for event in scene.events if event["audio"] and event["visual"]]
                spans = [[event[stream] for event in paired] for stream in ("audio", "visual")]
                truth[row] = pair_truth(*spans, audio_times=audio_time[row], visual_times=visual_time[row])
        return truth.to(found.plan.device)


def nearness(found: AssignmentMap, *, sigma: float = 0.5) -> Tensor:
    """Return a map ``[B, Nv, Na]`` of time alone: a Gaussian of the time between two tokens, ``sigma`` in seconds.

    A token whose time is not known has no mass.
    """
    apart = found.audio_time.unsqueeze(1) - found.visual_time.unsqueeze(2)  # [B, Nv, Na]
    return (-0.5 * (apart / sigma).square()).exp().nan_to_num(0.0)
