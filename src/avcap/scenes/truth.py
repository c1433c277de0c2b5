"""Which pairs of tokens of a batch belong together, for clips whose events are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from avcap.data.frame_sampling import frame_choice
from avcap.data.front_end import HOP, SAMPLE_RATE
from avcap.metrics.map_quality import even_times, pair_truth
from avcap.scenes.events import SceneEvents
from avcap.types import Batch

ROW_SECONDS = HOP / SAMPLE_RATE


class SceneTruth:
    """True pairs of the tokens of a captioner.

    Args:
        scenes: Clip id -> its scene.
        model: The captioner whose maps are measured.
        inputs: What :meth:`AudioCapsDataModule.input_settings` gives; says which of the stored pictures are taken.
    """

    def __init__(self, scenes: Mapping[str, SceneEvents], model: LightningModule, inputs: Mapping[str, Any]) -> None:
        self.scenes = scenes
        self.model = model
        self.inputs = inputs

    def __call__(self, batch: Batch, maps: Tensor) -> Tensor:
        """True pairs ``[B, Nv, Na]`` bool for maps of that shape; none for a clip whose events are not known.

        Args:
            batch: What was fused, with both streams.
            maps: The assignment maps, rows frame by frame.
        """
        audio_times, visual_places = self._times(batch, maps)
        truth = torch.zeros(maps.shape, dtype=torch.bool)
        for row, clip in enumerate(batch["id"]):
            scene = self.scenes.get(clip)
            if scene is not None:
                paired = [event for event in scene.events if event["audio"] and event["visual"]]
                spans = [[event[stream] for event in paired] for stream in ("audio", "visual")]
                visual_times = visual_places * scene.seconds
                truth[row] = pair_truth(*spans, audio_times=audio_times, visual_times=visual_times)
        return truth.to(maps.device)

    def nearness(self, batch: Batch, maps: Tensor, *, sigma: float = 0.5) -> Tensor:
        """The map ``[B, Nv, Na]`` that knows the time alone: a Gaussian of the time between two tokens, ``sigma`` in seconds.

        A clip whose length is not known has a map of zeros.
        """
        audio_times, visual_places = self._times(batch, maps)
        seconds = [self.scenes[clip].seconds if clip in self.scenes else torch.nan for clip in batch["id"]]
        visual_times = visual_places * torch.tensor(seconds, dtype=torch.float64)[:, None]  # [B, Nv]
        apart = audio_times - visual_times.unsqueeze(2)  # [B, Nv, Na]
        return (-0.5 * (apart / sigma).square()).exp().nan_to_num(0.0).to(maps.device, torch.float32)

    def _times(self, batch: Batch, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Times of the audio tokens in seconds ``[Na]``, places of the visual ones as shares of the clip ``[Nv]``."""
        _, visual_tokens, audio_tokens = maps.shape
        bands = self.model.audio_encoder.bands
        seconds = batch["fbank"].shape[1] * ROW_SECONDS  # with the padding, which has tokens too
        audio_times = even_times(audio_tokens // bands, seconds=seconds).repeat(bands)
        pictures = batch[self.model.visual_encoder.input].shape[1]
        return audio_times, self._places(pictures).repeat_interleave(visual_tokens // pictures)

    def _places(self, pictures: int) -> Tensor:
        """When the pictures were taken, as shares of the clip ``[pictures]``."""
        stored = self.inputs.get("stored_frames", pictures)
        if self.model.visual_encoder.input != "frames" or stored < pictures:
            return even_times(pictures, seconds=1.0)
        chosen = frame_choice(self.inputs.get("frame_sampling", "even"))(stored, pictures)
        return even_times(stored, seconds=1.0)[list(chosen)]
