"""Which pairs of tokens of a batch belong together, for clips whose events are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from avcap.callbacks.events import Scene
from avcap.data.frame_sampling import frame_choice
from avcap.data.front_end import HOP, SAMPLE_RATE
from avcap.metrics.map_quality import even_times, pair_truth
from avcap.types import Batch

ROW_SECONDS = HOP / SAMPLE_RATE


class SceneTruth:
    """True pairs of the tokens of a captioner.

    Args:
        scenes: Clip id -> its scene.
        model: The captioner whose maps are measured.
        inputs: What :meth:`AudioCapsDataModule.input_settings` gives; says which of the stored pictures are taken.
    """

    def __init__(self, scenes: Mapping[str, Scene], model: LightningModule, inputs: Mapping[str, Any]) -> None:
        self.scenes = scenes
        self.model = model
        self.inputs = inputs

    def __call__(self, batch: Batch, maps: Tensor) -> Tensor:
        """True pairs ``[B, Nv, Na]`` bool for maps of that shape; none for a clip whose events are not known.

        Args:
            batch: What was fused, with both streams.
            maps: The assignment maps, rows frame by frame.
        """
        _, visual_tokens, audio_tokens = maps.shape
        bands = self.model.audio_encoder.bands
        seconds = batch["fbank"].shape[1] * ROW_SECONDS  # with the padding, which has tokens too
        audio_times = even_times(audio_tokens // bands, seconds=seconds).repeat(bands)  # [Na]
        pictures = batch[self.model.visual_encoder.input].shape[1]
        places = self._places(pictures).repeat_interleave(visual_tokens // pictures)  # [Nv]
        truth = torch.zeros(maps.shape, dtype=torch.bool)
        for row, clip in enumerate(batch["id"]):
            scene = self.scenes.get(clip)
            if scene is not None:
                paired = [event for event in scene.events if event["audio"] and event["visual"]]
                spans = [[event[stream] for event in paired] for stream in ("audio", "visual")]
                truth[row] = pair_truth(*spans, audio_times=audio_times, visual_times=places * scene.seconds)
        return truth.to(maps.device)

    def _places(self, pictures: int) -> Tensor:
        """When the pictures were taken, as shares of the clip ``[pictures]``."""
        stored = self.inputs.get("stored_frames", pictures)
        if self.model.visual_encoder.input != "frames" or stored < pictures:
            return even_times(pictures, seconds=1.0)
        chosen = frame_choice(self.inputs.get("frame_sampling", "even"))(stored, pictures)
        return even_times(stored, seconds=1.0)[list(chosen)]
