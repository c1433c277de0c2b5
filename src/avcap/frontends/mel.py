"""Base of the two mel front ends."""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from avcap.frontends.base import SAMPLE_RATE, FrontEnd, as_batch

if TYPE_CHECKING:
    from torch import Tensor

HOP = 160  # samples between two rows: 10 ms


class MelFrontEnd(FrontEnd):
    """A waveform at 16 kHz -> a mel spectrogram of one row every 10 ms.

    Args:
        mels: Mel bins F.
    """

    hop = HOP / SAMPLE_RATE
    window: ClassVar[int]

    def __init__(self, mels: int, target_length: int, mean: float, std: float) -> None:
        super().__init__(target_length, mean, std)
        if mels < 1:
            raise ValueError(f"mels must be at least 1, got {mels}.")
        self.mels = mels

    @property
    def settings(self) -> dict[str, Any]:
        """See :attr:`FrontEnd.settings`."""
        return {"mels": self.mels}

    @property
    def row_shape(self) -> tuple[int, ...]:
        """One number a mel bin."""
        return (self.mels,)

    @property
    def label(self) -> str:
        """With the number of mel bins."""
        return f"{super().label}_{self.mels}"

    def features(self, wave: Tensor) -> Tensor:
        """Compute the raw spectrogram.

        Args:
            wave: ``[S]`` or ``[B, S]`` at 16 kHz in [-1, 1]; shorter than one window, it is filled with zeros.

        Returns:
            ``[T, F]`` or ``[B, T, F]`` float32.

        Raises:
            ValueError: if there is not one sample.
        """
        out = self.spectrogram(as_batch(wave, self.window))  # [B, T, F]
        return out[0] if wave.ndim == 1 else out

    @abstractmethod
    def spectrogram(self, wave: Tensor) -> Tensor:
        """Convert ``[B, S]`` to ``[B, T, F]``."""


@lru_cache(maxsize=4)
def hann(length: int, *, periodic: bool) -> Tensor:
    """Return the Hann window ``[length]``."""
    return torch.hann_window(length, periodic=periodic, dtype=torch.float32, device="cpu")
