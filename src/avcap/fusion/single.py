"""One stream alone."""

from __future__ import annotations

from typing import ClassVar

from avcap.fusion.base import Fusion
from avcap.types import FusionOutput, Tokens


class AudioOnly(Fusion):
    """Audio tokens as they are; vision is not read.

    Args:
        audio_width: Channels of the audio tokens.
        visual_width: Not used.

    Raises:
        ValueError: if there is no audio encoder.
    """

    streams: ClassVar[tuple[str, ...]] = ("audio",)

    def __init__(self, audio_width: int | None, visual_width: int | None = None) -> None:
        super().__init__(audio_width, visual_width)
        if audio_width is None:
            raise ValueError("AudioOnly reads audio, but there is no audio encoder; add one or choose VideoOnly.")
        self.width = audio_width

    def forward(self, audio: Tokens | None, video: Tokens | None = None) -> FusionOutput:
        """Return the audio tokens ``[B, Na, C]``; ``video`` is not read."""
        if audio is None or audio.x.shape[1] == 0:
            raise ValueError(
                "AudioOnly got a batch without audio; leave such clips out or choose a fusion of both streams."
            )
        return FusionOutput(audio, {}, {})


class VideoOnly(Fusion):
    """Visual tokens as they are; audio is not read.

    Args:
        audio_width: Not used.
        visual_width: Channels of the visual tokens.

    Raises:
        ValueError: if there is no visual encoder.
    """

    streams: ClassVar[tuple[str, ...]] = ("video",)

    def __init__(self, audio_width: int | None = None, visual_width: int | None = None) -> None:
        super().__init__(audio_width, visual_width)
        if visual_width is None:
            raise ValueError("VideoOnly reads video, but there is no visual encoder; add one or choose AudioOnly.")
        self.width = visual_width

    def forward(self, audio: Tokens | None = None, video: Tokens | None = None) -> FusionOutput:
        """Return the visual tokens ``[B, Nv, C]``; ``audio`` is not read."""
        if video is None or video.x.shape[1] == 0:
            raise ValueError(
                "VideoOnly got a batch without video; leave such clips out or choose a fusion of both streams."
            )
        return FusionOutput(video, {}, {})
