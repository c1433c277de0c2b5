"""Waveform -> mel spectrogram, exactly as the audio encoders were fed when they were trained.

Two front ends: :class:`KaldiFbank` (what AVCap and LAVCap use) and :class:`CEDMelSpectrogram` (what CED was trained on).
Both take one waveform or a padded batch of equal length, and hold their constants only; they are no modules.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

SAMPLE_RATE = 16_000
HOP = 160  # samples between two spectrogram rows: 10 ms


class FrontEnd(ABC):
    """A waveform at 16 kHz -> a spectrogram of one row every 10 ms.

    Args:
        mels: Mel bins F.

    Attributes:
        name: The short name that `avcap data prepare --front_end` takes and that shards record.
        mean: Subtracted by the usual normalisation of this front end.
        std: What it then divides by.
        pad_value: What a row beyond the end of the clip holds, before normalisation.
        log_unit: What an energy e times as large adds to a cell: 1 for natural logarithms.
    """

    name: ClassVar[str]
    mean: ClassVar[float] = 0.0
    std: ClassVar[float] = 1.0
    pad_value: ClassVar[float] = 0.0
    log_unit: ClassVar[float] = 1.0
    window: ClassVar[int]

    def __init__(self, mels: int = 64) -> None:
        if mels < 1:
            raise ValueError(f"mels must be at least 1, got {mels}.")
        self.mels = mels

    def __call__(self, wave: Tensor) -> Tensor:
        """Compute the raw (not normalised) spectrogram.

        Args:
            wave: ``[samples]`` or ``[B, samples]`` at 16 kHz in [-1, 1]; shorter than one window, it is filled with zeros.

        Returns:
            ``[T, F]`` or ``[B, T, F]`` float32.

        Raises:
            ValueError: if there is not one sample.
        """
        if wave.ndim not in (1, 2) or wave.shape[-1] == 0:
            raise ValueError(
                f"A waveform is [samples] or [B, samples] with at least one sample, got {list(wave.shape)}."
            )
        batch = torch.atleast_2d(wave.float())  # [B, S]
        if batch.shape[-1] < self.window:
            batch = torch.nn.functional.pad(batch, (0, self.window - batch.shape[-1]))
        out = self._spectrogram(batch)  # [B, T, F]
        return out[0] if wave.ndim == 1 else out

    @abstractmethod
    def _spectrogram(self, wave: Tensor) -> Tensor:
        """``[B, S]`` -> ``[B, T, F]``."""


class KaldiFbank(FrontEnd):
    """Kaldi log mel filter bank energies with the settings of AVCap and LAVCap (Hann window, no dither).

    The mean of the clip is removed; frames of 25 ms without their offset, pre-emphasis 0.97, 512-point power spectrum,
    triangular filters from 20 to 8000 Hz on the scale 1127 ln(1 + f / 700), natural logarithm floored at the float32
    epsilon. ``T = 1 + (samples - 400) // 160``: 10 s give 998 rows. The usual normalisation is (x + 4.346) / 4.332
    after zero rows are appended, so that a padded cell becomes 1.00323.

    Args:
        mels: Mel bins: 64 in LAVCap, 128 in AVCap and DALI.
    """

    name = "kaldi"
    mean = -4.346
    std = 4.332
    window = 400

    def _spectrogram(self, wave: Tensor) -> Tensor:
        wave = wave - wave.mean(dim=-1, keepdim=True)
        frames = wave.unfold(-1, self.window, HOP)  # [B, T, 400]
        frames = frames - frames.mean(dim=-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)  # the first sample precedes itself
        frames = (frames - 0.97 * before) * _hann(self.window, periodic=False)
        power = torch.fft.rfft(frames, n=512).abs().square()  # [B, T, 257]
        energies = power[..., :256] @ _kaldi_filters(self.mels)  # the bin at 8 kHz weighs nothing
        return energies.clamp_min(torch.finfo(torch.float32).eps).log()


class CEDMelSpectrogram(FrontEnd):
    """CED's own front end: a power mel spectrogram in decibels, at most 120 dB below the maximum of the clip.

    Periodic Hann window of 512, hop 160, centred with reflection, HTK mel filters from 0 to 8000 Hz without area
    normalisation. ``T = 1 + samples // 160``. Not normalised: CED's first batch norm does that. Padding is digital
    silence, -100 dB.

    Args:
        mels: Mel bins: 64 in every published CED.
    """

    name = "ced"
    pad_value = -100.0
    log_unit = 10.0 / math.log(10.0)  # decibels
    window = 512

    def _spectrogram(self, wave: Tensor) -> Tensor:
        spectrum = torch.stft(
            wave,
            n_fft=512,
            hop_length=HOP,
            window=_hann(512, periodic=True),
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )  # [B, 257, T]
        mel = spectrum.abs().square().transpose(1, 2) @ _htk_filters(self.mels)  # [B, T, F]
        decibels = 10.0 * mel.clamp_min(1e-10).log10()
        return decibels.maximum(decibels.amax(dim=(1, 2), keepdim=True) - 120.0)


FRONT_ENDS: dict[str, type[FrontEnd]] = {cls.name: cls for cls in (KaldiFbank, CEDMelSpectrogram)}


def make_front_end(name: str, mels: int) -> FrontEnd:
    """The front end of a short name.

    Args:
        name: ``kaldi`` or ``ced``.
        mels: Mel bins.

    Raises:
        ValueError: if there is none of that name.
    """
    if name not in FRONT_ENDS:
        raise ValueError(f"There is no front end {name!r}; choose one of {', '.join(FRONT_ENDS)}.")
    return FRONT_ENDS[name](mels)


@lru_cache(maxsize=4)
def _hann(length: int, *, periodic: bool) -> Tensor:
    return torch.hann_window(length, periodic=periodic, dtype=torch.float32)


@lru_cache(maxsize=8)
def _kaldi_filters(mels: int) -> Tensor:
    """Triangles that are linear in mel ``[256, F]`` (Kaldi's definition: 20 Hz to 8 kHz, 31.25 Hz a bin)."""
    mel = 1127.0 * torch.log1p(torch.arange(256) * (SAMPLE_RATE / 512) / 700.0)  # [256]
    low, high = (1127.0 * math.log1p(hz / 700.0) for hz in (20.0, SAMPLE_RATE / 2))
    step = (high - low) / (mels + 1)
    left = low + step * torch.arange(mels)  # [F]
    rise = (mel[:, None] - left) / step
    return torch.minimum(rise, 2.0 - rise).clamp_min(0.0)


@lru_cache(maxsize=8)
def _htk_filters(mels: int) -> Tensor:
    """Triangles that are linear in Hz between HTK mel points ``[257, F]``, peak 1."""
    top = 2595.0 * math.log10(1.0 + SAMPLE_RATE / 2 / 700.0)
    points = 700.0 * (10.0 ** (torch.linspace(0.0, top, mels + 2, dtype=torch.float64) / 2595.0) - 1.0)
    hz = torch.linspace(0.0, SAMPLE_RATE / 2, 257, dtype=torch.float64)[:, None]  # [257, 1]
    rise = (hz - points[:-2]) / (points[1:-1] - points[:-2])
    fall = (points[2:] - hz) / (points[2:] - points[1:-1])
    return torch.minimum(rise, fall).clamp_min(0.0).float()
