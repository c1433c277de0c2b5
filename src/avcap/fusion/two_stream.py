"""Base of the fusions of two streams."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import nn

from avcap.fusion.base import Fusion
from avcap.layers.masking import zero_padding
from avcap.types import FusionOutput, Tokens


class TwoStreamFusion(Fusion):
    """A fusion that reads both streams: brings them to the form that :meth:`fuse` may rely on.

    :meth:`fuse` gets audio tokens ``[B, Na, Ca]`` and visual tokens ``[B, Nv, C]``, zero where they are padded. A stream
    that the whole batch lacks arrives with no tokens (N = 0), a clip that lacks one with a mask row that is all False.
    The visual tokens go through a learned linear layer to the audio width where the widths differ (published LAVCap has
    768 and 768, and no such layer).

    Attributes:
        projects: Whether :meth:`fuse` gets the visual tokens at the audio width; else at their own width.

    Raises:
        ValueError: if either width is None.
    """

    audio_width: int
    visual_width: int
    projects: ClassVar[bool] = True

    def __init__(self, audio_width: int | None, visual_width: int | None) -> None:
        super().__init__(audio_width, visual_width)
        audio, visual = self._width("audio", audio_width), self._width("video", visual_width)
        self.visual_projection = nn.Linear(visual, audio) if self.projects and audio != visual else nn.Identity()
        self.width = audio

    @abstractmethod
    def fuse(self, audio: Tokens, video: Tokens) -> FusionOutput:
        """Fuse the prepared tokens of both streams."""

    def forward(self, audio: Tokens | None, video: Tokens | None) -> FusionOutput:
        """Fuse audio tokens ``[B, Na, Ca]`` and visual tokens ``[B, Nv, Cv]``; None where the batch has none.

        A clip that lacks one stream gets the tokens of the other, and adds to no loss.

        Raises:
            ValueError: if both streams are None or a width is not the one declared.
        """
        present = audio if audio is not None else video
        if present is None:
            raise ValueError(
                f"{type(self).__name__} got neither audio nor visual tokens; a batch needs one stream at least."
            )
        audio = self._checked("audio", audio, self.audio_width, present)
        video = self._checked("video", video, self.visual_width, present)
        video = video._replace(x=self.visual_projection(video.x))  # [B, Nv, C]
        return self.fuse(zero_padding(audio), zero_padding(video))

    def _width(self, stream: str, width: int | None) -> int:
        if width is None:
            raise ValueError(
                f"{type(self).__name__} fuses audio and video, but there is no {stream} encoder; add one to the config "
                f"or choose {'VideoOnly' if stream == 'audio' else 'AudioOnly'}."
            )
        return width

    def _checked(self, stream: str, tokens: Tokens | None, width: int, present: Tokens) -> Tokens:
        if tokens is None:
            return Tokens(present.x.new_zeros(present.x.shape[0], 0, width))
        if tokens.x.dim() != 3 or tokens.x.shape[2] != width:
            raise ValueError(
                f"{type(self).__name__} was built for {stream} tokens of width {width}, "
                f"got {list(tokens.x.shape)}; set the width to that of the {stream} encoder."
            )
        return tokens
