"""Kaldi's log mel filter bank, as AVCap, LAVCap and DALI use it."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from avcap.frontends.base import SAMPLE_RATE
from avcap.frontends.mel import HOP, MelFrontEnd, hann

if TYPE_CHECKING:
    from torch import Tensor


class KaldiFbank(MelFrontEnd):
    """Kaldi log mel filter bank energies with the settings of AVCap and LAVCap (Hann window, no dither).

    The mean of the clip is removed; frames of 25 ms without their offset, pre-emphasis 0.97, 512-point power spectrum,
    triangular filters from 20 to 8000 Hz on the scale 1127 ln(1 + f / 700), natural logarithm floored at the float32
    epsilon. ``T = 1 + (samples - 400) // 160``: 10 s give 998 rows. The usual normalisation is (x + 4.346) / 4.332
    after zero rows are appended, so that a padded cell becomes 1.00323.

    Args:
        mels: Mel bins: 64 in LAVCap, 128 in AVCap and DALI.
        target_length: Rows of the encoder's input, 10 ms each.
        mean: Subtracted after padding; DALI's is -5.081.
        std: Divided by after that; DALI's is 4.4849.
    """

    window = 400

    def __init__(self, mels: int = 64, target_length: int = 1024, mean: float = -4.346, std: float = 4.332) -> None:
        super().__init__(mels, target_length, mean, std)

    def spectrogram(self, wave: Tensor) -> Tensor:
        """See :meth:`MelFrontEnd.spectrogram`."""
        wave = wave - wave.mean(dim=-1, keepdim=True)
        frames = wave.unfold(-1, self.window, HOP)  # [B, T, 400]
        frames = frames - frames.mean(dim=-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)  # the first sample precedes itself
        frames = (frames - 0.97 * before) * hann(self.window, periodic=False)
        power = torch.fft.rfft(frames, n=512).abs().square()  # [B, T, 257]
        energies = power[..., :256] @ _filters(self.mels)  # the bin at 8 kHz weighs nothing
        return energies.clamp_min(torch.finfo(torch.float32).eps).log()


@lru_cache(maxsize=8)
def _filters(mels: int) -> Tensor:
    """Return triangles that are linear in mel ``[256, F]`` (Kaldi's definition: 20 Hz to 8 kHz, 31.25 Hz a bin)."""
    mel = 1127.0 * torch.log1p(torch.arange(256) * (SAMPLE_RATE / 512) / 700.0)  # [256]
    low, high = (1127.0 * math.log1p(hz / 700.0) for hz in (20.0, SAMPLE_RATE / 2))
    step = (high - low) / (mels + 1)
    left = low + step * torch.arange(mels)  # [F]
    rise = (mel[:, None] - left) / step
    return torch.minimum(rise, 2.0 - rise).clamp_min(0.0)
