"""Augmentation of a spectrogram. A clip's augmentation depends only on (seed, epoch, id)."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor


def generator_for(seed: int, epoch: int, clip_id: str) -> torch.Generator:
    """Return the random generator of one clip in one epoch, the same on every rank, worker and resumed run."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{clip_id}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class Transform(ABC):
    """Changes the spectrogram of a training clip.

    Attributes:
        normalised: Whether it is applied after the normalisation; else before.
    """

    normalised: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, fbank: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the transformed spectrogram, without changing the input.

        Args:
            fbank: ``[T, F]``, already padded or cut to its final length.
            mask: ``[T]`` bool, True on real rows.
            generator: The only source of randomness.

        Returns:
            The new spectrogram and its mask.
        """


class SpecAugment(Transform):
    """One band of frequencies and one stretch of time set to 0, before normalisation (as AVCap and LAVCap do).

    A masked cell therefore becomes 1.00323 with Kaldi's usual normalisation, as padding does. The width is uniform in
    [0, limit), the place uniform over what is left, as in torchaudio's masking transforms (Park et al. 2019). Time is
    that of the padded spectrogram.

    Args:
        frequency: Upper limit of the band's width in mel bins; 0 masks none.
        time: Upper limit of the stretch's length in rows of 10 ms; 0 masks none.
    """

    def __init__(self, frequency: int = 48, time: int = 192) -> None:
        if frequency < 0 or time < 0:
            raise ValueError(f"frequency and time must not be negative, got {frequency} and {time}.")
        self.frequency = frequency
        self.time = time

    def __call__(self, fbank: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """See :meth:`Transform.__call__`."""
        rows, bins = fbank.shape
        band = _span(min(self.frequency, bins), bins, generator)
        stretch = _span(min(self.time, rows), rows, generator)
        fbank = fbank.clone()
        fbank[:, band] = 0.0
        fbank[stretch] = 0.0
        return fbank, mask


class NoiseRoll(Transform):
    """Uniform noise and a circular shift in time, after normalisation (as AVCap and LAVCap do with noise on).

    Args:
        amplitude: The noise is uniform in [0, 1) times a number uniform in [0, amplitude).
        roll: Whether to shift in time, by up to the whole length.
    """

    normalised = True

    def __init__(self, amplitude: float = 0.1, roll: bool = True) -> None:
        if amplitude < 0:
            raise ValueError(f"amplitude must not be negative, got {amplitude}.")
        self.amplitude = amplitude
        self.roll = roll

    def __call__(self, fbank: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """See :meth:`Transform.__call__`."""
        level = torch.rand((), generator=generator) * self.amplitude
        fbank = fbank + torch.rand(fbank.shape, generator=generator) * level
        if self.roll:
            shift = int(torch.randint(-len(fbank), len(fbank), (), generator=generator))
            fbank, mask = fbank.roll(shift, dims=0), mask.roll(shift, dims=0)
        return fbank, mask


def _span(limit: int, length: int, generator: torch.Generator) -> slice:
    width, place = torch.rand(2, generator=generator).tolist()
    width *= limit
    start = int(place * (length - width))
    return slice(start, start + int(width))
