"""The mel spectrogram in decibels that CED was trained on."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from avcap.frontends.base import SAMPLE_RATE
from avcap.frontends.mel import HOP, MelFrontEnd, hann

if TYPE_CHECKING:
    from torch import Tensor


class CEDMelSpectrogram(MelFrontEnd):
    """CED's own front end: a power mel spectrogram in decibels, at most 120 dB below the maximum of the clip.

    Periodic Hann window of 512, hop 160, centred with reflection, HTK mel filters from 0 to 8000 Hz without area
    normalisation. ``T = 1 + samples // 160``. Not normalised: CED's first batch norm does that. Padding is digital
    silence, -100 dB.

    Args:
        mels: Mel bins: 64 in every published CED.
        target_length: Rows of the encoder's input, 10 ms each.
        mean: Subtracted after padding.
        std: Divided by after that.
    """

    pad_value = -100.0
    window = 512

    def __init__(self, mels: int = 64, target_length: int = 1024, mean: float = 0.0, std: float = 1.0) -> None:
        super().__init__(mels, target_length, mean, std)

    def spectrogram(self, wave: Tensor) -> Tensor:
        """See :meth:`MelFrontEnd.spectrogram`."""
        spectrum = torch.stft(
            wave,
            n_fft=512,
            hop_length=HOP,
            window=hann(512, periodic=True),
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )  # [B, 257, T]
        mel = spectrum.abs().square().transpose(1, 2) @ _filters(self.mels)  # [B, T, F]
        decibels = 10.0 * mel.clamp_min(1e-10).log10()
        return decibels.maximum(decibels.amax(dim=(1, 2), keepdim=True) - 120.0)


@lru_cache(maxsize=8)
def _filters(mels: int) -> Tensor:
    """Return triangles that are linear in Hz between HTK mel points ``[257, F]``, peak 1."""
    top = 2595.0 * math.log10(1.0 + SAMPLE_RATE / 2 / 700.0)
    points = 700.0 * (10.0 ** (torch.linspace(0.0, top, mels + 2, dtype=torch.float64) / 2595.0) - 1.0)
    hz = torch.linspace(0.0, SAMPLE_RATE / 2, 257, dtype=torch.float64)[:, None]  # [257, 1]
    rise = (hz - points[:-2]) / (points[1:-1] - points[:-2])
    fall = (points[2:] - hz) / (points[2:] - points[1:-1])
    return torch.minimum(rise, fall).clamp_min(0.0).float()
