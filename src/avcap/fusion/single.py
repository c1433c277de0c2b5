"""One stream alone."""

from __future__ import annotations

from typing import ClassVar

from avcap.fusion.base import Fusion
from avcap.types import FusionOutput, Tokens


class _Single(Fusion):
    """The tokens of one of :attr:`streams` as they are."""

    other: ClassVar[str]

    def __init__(self, audio_width: int | None = None, visual_width: int | None = None) -> None:
        super().__init__(audio_width, visual_width)
        (stream,) = self.streams
        width = audio_width if stream == "audio" else visual_width
        if width is None:
            raise ValueError(
                f"{type(self).__name__} reads {stream}, but there is no {stream} encoder; add one or choose {self.other}."
            )
        self.width = width

    def forward(self, audio: Tokens | None = None, video: Tokens | None = None) -> FusionOutput:
        """Return the tokens ``[B, N, C]`` of the stream; the other is not read.

        Raises:
            ValueError: if the batch lacks the stream.
        """
        (stream,) = self.streams
        tokens = audio if stream == "audio" else video
        if tokens is None or tokens.x.shape[1] == 0:
            raise ValueError(
                f"{type(self).__name__} got a batch without {stream}; leave such clips out or choose a fusion of both streams."
            )
        return FusionOutput(tokens, {}, {})


class AudioOnly(_Single):
    """Audio tokens as they are; vision is not read."""

    streams = ("audio",)
    other = "VideoOnly"


class VideoOnly(_Single):
    """Visual tokens as they are; audio is not read."""

    streams = ("video",)
    other = "AudioOnly"
