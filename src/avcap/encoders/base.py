"""The encoder contract: one stream of a clip in, tokens out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from avcap.frontends import FrontEnd
from avcap.types import Tokens


class Encoder(nn.Module, ABC):
    """A stream of a clip -> tokens.

    Attributes:
        input: The key of :class:`avcap.types.Batch` that this encoder reads; its mask is ``<input>_mask``, its times are
            ``<input>_time``.
        width: Channels of the tokens that come out.
        pretrained: Where :meth:`load_pretrained` reads weights from, or None. Constructors read no weights.
    """

    input: ClassVar[str]
    width: int
    pretrained: str | None = None

    @abstractmethod
    def forward(self, x: Tensor, mask: Tensor | None = None, time: Tensor | None = None) -> Tokens:
        """Encode the batch's ``input`` entry.

        Args:
            x: The entry ``[B, T, ...]``.
            mask: ``[B, T]`` bool, True where a row or frame is real; None: all are.
            time: ``[B, T]`` float32, middle of each row or frame in seconds; None: unknown.

        Returns:
            Tokens; the time of each is the mean over the rows or frames that it covers, None where ``time`` is.
        """

    @abstractmethod
    def input_shape(self, frames: int) -> tuple[int, ...]:
        """Return the shape of the longest input of one clip of ``frames`` video frames, the batch axis left out."""

    def load_pretrained(self) -> None:
        """Load the weights that ``pretrained`` names; do nothing if it is None.

        Raises:
            FileNotFoundError: if the file is not there.
            ValueError: if keys are missing or unexpected.
        """
        if self.pretrained is not None:
            raise ValueError(f"{type(self).__name__} cannot load pretrained weights; set pretrained: null.")


class AudioEncoder(Encoder):
    """The features of its front end ``[B, T, F]`` (a waveform ``[B, S]``) -> tokens ``[B, Na, Ca]``.

    Attributes:
        frontend: What makes its input of a clip's sound; the data ask for it.
    """

    input = "audio"
    frontend: FrontEnd

    def input_shape(self, frames: int) -> tuple[int, ...]:
        """Return the shape that the front end gives; see :meth:`Encoder.input_shape`."""
        return self.frontend.shape


class VisualEncoder(Encoder):
    """frames ``[B, N, 3, H, W]`` uint8 (or features made beforehand) -> tokens ``[B, Nv, Cv]``."""

    input = "frames"
