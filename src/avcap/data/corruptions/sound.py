"""Corruptions of the sound: all of them on the raw spectrogram, so that one path serves every front end and every shard."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from avcap.data.corruptions.base import Corruption, Drop, Shift, Source, drop_parts
from avcap.data.corruptions.energy import add_noise, energies, samples_for, silence, spectrogram
from avcap.data.corruptions.smoothing import smooth
from avcap.data.front_end import HOP, SAMPLE_RATE
from avcap.data.item import Item

ROWS_PER_SECOND = SAMPLE_RATE // HOP
PARTS = 20  # of a clip whose sound is dropped in part


class SoundCorruption(Corruption):
    """A corruption of the spectrogram, made by :meth:`spoil`."""

    stream: ClassVar[str] = "audio"
    inputs: ClassVar[tuple[str, ...]] = ("fbank",)

    def __call__(self, item: Item, source: Source) -> Item:
        """See :meth:`Corruption.__call__`."""
        return item if item.fbank is None else replace(item, fbank=self.spoil(item.fbank, source), waveform=None)

    @abstractmethod
    def spoil(self, fbank: Tensor, source: Source) -> Tensor:
        """The spoilt raw spectrogram; ``[T, F]`` in and out."""


class SilentSound(SoundCorruption):
    """Digital silence of the same length, as the front end renders it."""

    family: ClassVar[str] = "suppress"

    def spoil(self, fbank: Tensor, source: Source) -> Tensor:
        """See :meth:`SoundCorruption.spoil`."""
        return silence(len(fbank), source.front_end)


class SwappedSound(SoundCorruption):
    """The sound of another clip of the split, whole."""

    family: ClassVar[str] = "swap"

    def spoil(self, fbank: Tensor, source: Source) -> Tensor:
        """See :meth:`SoundCorruption.spoil`."""
        return source.other(self.stream).fbank


class NoisySound(SoundCorruption):
    """Noise added at a signal-to-noise ratio; for one clip the same noise at every ratio.

    Args:
        snr: Power of the clip's waveform over that of the noise, in dB.
        colour: ``white``, or ``pink``: power falling as 1 / f, from 20 Hz.
    """

    family: ClassVar[str] = "noise"

    def __init__(self, snr: float = 0.0, colour: Literal["white", "pink"] = "white") -> None:
        if colour not in COLOURS:
            raise ValueError(f"colour is {colour!r}; choose {' or '.join(COLOURS)}.")
        self.snr = snr
        self.colour = colour

    @property
    def level(self) -> str:
        """The ratio, after a colour that is not white."""
        return f"{'' if self.colour == 'white' else self.colour}{self.snr:g}dB"

    def spoil(self, fbank: Tensor, source: Source) -> Tensor:
        """See :meth:`SoundCorruption.spoil`."""
        noise = torch.randn(samples_for(len(fbank), source.front_end), generator=source.generator)
        return add_noise(fbank, COLOURS[self.colour](noise), self.snr, source.front_end)


class SmearedSound(SoundCorruption):
    """Energies smoothed over time by a Gaussian: onsets and rhythm go, the spectrum stays.

    Args:
        seconds: Standard deviation of the Gaussian.
    """

    family: ClassVar[str] = "blur"

    def __init__(self, seconds: float = 0.2) -> None:
        if seconds <= 0:
            raise ValueError(f"seconds must be above 0, got {seconds}.")
        self.seconds = seconds

    @property
    def level(self) -> str:
        """The deviation."""
        return f"{self.seconds:g}s"

    def spoil(self, fbank: Tensor, source: Source) -> Tensor:
        """See :meth:`SoundCorruption.spoil`."""
        energy = energies(fbank, source.front_end).T  # [F, T]
        return spectrogram(smooth(energy, self.seconds * ROWS_PER_SECOND).T, source.front_end)


class DroppedSound(Drop, SoundCorruption):
    """Some of 20 equal parts of the clip replaced by digital silence.

    Args:
        share: Share of the parts, chosen at random.
    """

    def spoil(self, fbank: Tensor, source: Source) -> Tensor:
        """See :meth:`SoundCorruption.spoil`."""
        lost = drop_parts(PARTS, self.share, source.generator)
        part = torch.arange(len(fbank)) * PARTS // len(fbank)  # [T]
        return torch.where(lost[part, None], silence(len(fbank), source.front_end), fbank)


class ShiftedSound(Shift, SoundCorruption):
    """The sound later (or earlier) than the pictures; silence where it has left, and what passes the end is lost.

    Args:
        seconds: How much later; below 0: earlier.
    """

    def spoil(self, fbank: Tensor, source: Source) -> Tensor:
        """See :meth:`SoundCorruption.spoil`."""
        return delay(fbank, round(self.seconds * ROWS_PER_SECOND), silence(len(fbank), source.front_end))


def delay(rows: Tensor, places: int, filling: Tensor) -> Tensor:
    """``rows`` moved by ``places`` to the back (to the front where negative), rows of ``filling`` in the gap.

    >>> delay(torch.tensor([1, 2, 3]), 1, torch.zeros(3)).tolist()
    [0, 1, 2]
    """
    out = filling.to(rows.dtype).clone()
    places = max(-len(rows), min(len(rows), places))
    if places >= 0:
        out[places:] = rows[: len(rows) - places]
    else:
        out[:places] = rows[-places:]
    return out


def pink(white: Tensor) -> Tensor:
    """White noise ``[S]`` with its amplitudes divided by the square root of the frequency, which counts as 20 Hz below that."""
    hertz = torch.fft.rfftfreq(len(white), d=1 / SAMPLE_RATE).clamp_min(20.0)
    return torch.fft.irfft(torch.fft.rfft(white) / hertz.sqrt(), n=len(white))


def white(noise: Tensor) -> Tensor:
    """White noise as it is."""
    return noise


COLOURS = {"white": white, "pink": pink}
