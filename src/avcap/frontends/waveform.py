"""The waveform itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from avcap.frontends.base import SAMPLE_RATE, FrontEnd, as_batch

if TYPE_CHECKING:
    from torch import Tensor


class Waveform(FrontEnd):
    """The samples as they are, for an encoder that reads the waveform ``[B, S]``; a row is one sample.

    Args:
        target_length: Samples of the encoder's input.
        mean: Subtracted after padding.
        std: Divided by after that.
        sample_rate: Samples a second; the shards must have been made with the same.
    """

    def __init__(
        self, target_length: int = 10 * SAMPLE_RATE, mean: float = 0.0, std: float = 1.0, sample_rate: int = SAMPLE_RATE
    ) -> None:
        super().__init__(target_length, mean, std)
        if sample_rate < 1:
            raise ValueError(f"sample_rate must be at least 1, got {sample_rate}.")
        self.sample_rate = sample_rate
        self.hop = 1 / sample_rate

    @property
    def settings(self) -> dict[str, Any]:
        """None besides the sample rate."""
        return {}

    @property
    def row_shape(self) -> tuple[int, ...]:
        """A single number."""
        return ()

    def features(self, wave: Tensor) -> Tensor:
        """Return the waveform ``[S]`` as float32; see :meth:`FrontEnd.features`."""
        as_batch(wave, 1)  # the same fault as in every front end
        return wave.float()
