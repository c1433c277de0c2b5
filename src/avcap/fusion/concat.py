"""Concatenation of the two streams, without any alignment."""

from __future__ import annotations

from avcap.fusion.two_stream import TwoStreamFusion
from avcap.layers.masking import concat_time
from avcap.layers.placement import concat_channels
from avcap.types import FusionOutput, Tokens


class TimeConcat(TwoStreamFusion):
    """Audio tokens, then visual tokens, in one sequence (LAVCap ablation ``tempcat``)."""

    def fuse(self, audio: Tokens, video: Tokens) -> FusionOutput:
        """Fuse ``[B, Na, C], [B, Nv, C] -> [B, Na + Nv, C]``."""
        return FusionOutput(concat_time(audio, video), {}, {})


class ChannelConcat(TwoStreamFusion):
    """Each frame beside the audio token of its time, on the channel axis (LAVCap ablation ``chancat``).

    Frame k stands on audio row ``k * (Na // Nv)``; the other rows have zeros there. Frames are not repeated (official code).
    The fused width is the sum of both.
    """

    projects = False

    def __init__(self, audio_width: int | None, visual_width: int | None) -> None:
        super().__init__(audio_width, visual_width)
        self.width = self.audio_width + self.visual_width

    def fuse(self, audio: Tokens, video: Tokens) -> FusionOutput:
        """Fuse ``[B, Na, Ca], [B, Nv, Cv] -> [B, Na, Ca + Cv]``."""
        return FusionOutput(concat_channels(audio, video), {}, {})
