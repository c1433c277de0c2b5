"""Corruptions of the recording, before the front end, so that every front end gets the same."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from avcap.data.corruptions.base import Corruption, CorruptionSource, Drop, Shift, drop_parts
from avcap.data.corruptions.smoothing import smooth
from avcap.shards.item import Item

if TYPE_CHECKING:
    from torch import Tensor

COLOURS = ("white", "pink")
PARTS = 20  # of a clip whose sound is dropped in part
WINDOW, HOP = 512, 128  # samples, of the spectrum whose energies are smeared


class SoundCorruption(Corruption):
    """A corruption of the waveform, made by :meth:`corrupt`."""

    stream: ClassVar[str] = "audio"
    inputs: ClassVar[tuple[str, ...]] = ("audio",)

    def __call__(self, item: Item, source: CorruptionSource) -> Item:
        """See :meth:`Corruption.__call__`."""
        if item.waveform is None:
            return item
        return replace(item, waveform=self.corrupt(item.waveform, item.sample_rate, source), audio=None)

    @abstractmethod
    def corrupt(self, wave: Tensor, sample_rate: int, source: CorruptionSource) -> Tensor:
        """Return the corrupted recording ``[S]``, as a rule with as many samples as were given."""


class SilentSound(SoundCorruption):
    """Digital silence of the same length."""

    family: ClassVar[str] = "suppress"

    def corrupt(self, wave: Tensor, sample_rate: int, source: CorruptionSource) -> Tensor:
        """See :meth:`SoundCorruption.corrupt`."""
        return torch.zeros_like(wave)


class SwappedSound(SoundCorruption):
    """The sound of another clip of the split, whole."""

    family: ClassVar[str] = "swap"

    def corrupt(self, wave: Tensor, sample_rate: int, source: CorruptionSource) -> Tensor:
        """See :meth:`SoundCorruption.corrupt`."""
        other = source.other(self.stream).waveform
        return wave if other is None else other


class NoisySound(SoundCorruption):
    """Noise added at a signal-to-noise ratio over the whole clip; for one clip the same noise at every ratio.

    A silent clip stays silent. The sum may exceed the range of a recording; nothing is clipped.

    Args:
        snr: Power (mean square) of the clip's waveform over that of the noise, in dB.
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

    def corrupt(self, wave: Tensor, sample_rate: int, source: CorruptionSource) -> Tensor:
        """See :meth:`SoundCorruption.corrupt`."""
        noise = torch.randn(len(wave), generator=source.generator)
        if self.colour == "pink":
            noise = pink(noise, sample_rate)
        power = wave.double().square().mean() / noise.double().square().mean()
        return wave + noise * float(power * 10.0 ** (-self.snr / 10)) ** 0.5


class SmearedSound(SoundCorruption):
    """Energies smoothed over time by a Gaussian: onsets and rhythm go, the spectrum stays.

    The energies are those of a short-time Fourier transform (windows of 512 samples). The phases are those of white noise: the old ones
    would put an onset back where it was.

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

    def corrupt(self, wave: Tensor, sample_rate: int, source: CorruptionSource) -> Tensor:
        """See :meth:`SoundCorruption.corrupt`."""
        window = torch.hann_window(WINDOW)
        noise = torch.randn(max(len(wave), WINDOW), generator=source.generator)
        padded = torch.nn.functional.pad(wave, (0, len(noise) - len(wave)))
        energy = torch.stft(padded, WINDOW, HOP, window=window, return_complex=True).abs().square()  # [bins, T]
        phases = torch.stft(noise, WINDOW, HOP, window=window, return_complex=True).angle()
        smeared = smooth(energy, self.seconds * sample_rate / HOP)
        spoilt = torch.istft(torch.polar(smeared.sqrt(), phases), WINDOW, HOP, window=window, length=len(noise))
        return spoilt[: len(wave)]


class DroppedSound(Drop, SoundCorruption):
    """Some of 20 equal parts of the clip replaced by digital silence.

    Args:
        share: Share of the parts, chosen at random.
    """

    def corrupt(self, wave: Tensor, sample_rate: int, source: CorruptionSource) -> Tensor:
        """See :meth:`SoundCorruption.corrupt`."""
        lost = drop_parts(PARTS, self.share, source.generator)
        part = torch.arange(len(wave)) * PARTS // len(wave)  # [S]
        return wave.masked_fill(lost[part], 0.0)


class ShiftedSound(Shift, SoundCorruption):
    """Shifts the sound to later (or earlier) times; fills the gap with silence and loses what passes the end.

    Args:
        seconds: How much later; below 0: earlier.
    """

    def corrupt(self, wave: Tensor, sample_rate: int, source: CorruptionSource) -> Tensor:
        """See :meth:`SoundCorruption.corrupt`."""
        return delay(wave, round(self.seconds * sample_rate), torch.zeros_like(wave))


def delay(rows: Tensor, places: int, filling: Tensor) -> Tensor:
    """Shift ``rows`` by ``places`` to the back (to the front if negative), and fill the gap with rows of ``filling``.

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


def pink(white: Tensor, sample_rate: int) -> Tensor:
    """Make pink noise ``[S]``: white noise with amplitudes divided by the square root of the frequency (at least 20 Hz)."""
    hertz = torch.fft.rfftfreq(len(white), d=1 / sample_rate).clamp_min(20.0)
    return torch.fft.irfft(torch.fft.rfft(white) / hertz.sqrt(), n=len(white))
