"""The fusion contract: the tokens of two streams in, one set of tokens out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from avcap.types import FusionOutput, Tokens, accept_tensors


class Fusion(nn.Module, ABC):
    """Audio tokens and visual tokens -> fused tokens, named losses, named maps.

    Args:
        audio_width: Channels of the audio tokens, None where there is no audio encoder; most fusions keep this width.
        visual_width: Channels of the visual tokens, None where there is no visual encoder.

    Attributes:
        width: Channels of the fused tokens.
        streams: The streams it reads, of "audio" and "video"; an encoder that is not read is not run.
    """

    width: int
    streams: ClassVar[tuple[str, ...]] = ("audio", "video")

    def __init__(self, audio_width: int | None, visual_width: int | None) -> None:
        super().__init__()
        self.register_forward_pre_hook(accept_tensors, with_kwargs=True)
        self.audio_width = audio_width
        self.visual_width = visual_width

    @abstractmethod
    def forward(self, audio: Tokens | None, video: Tokens | None) -> FusionOutput:
        """Fuse; a stream that the batch lacks is None."""

    def follow(self, audio: Tokens, video: Tokens, plan: Tensor | None) -> FusionOutput:
        """Fuse both streams where an aligner has solved a transport plan ``[B, Nv, Na]``, or None; most fusions read none."""
        return self(audio, video)


FusionFactory = Callable[[int | None, int | None], Fusion]
"""(audio width, visual width) -> fusion: a class, or a partial of one."""
