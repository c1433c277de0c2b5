"""Noise at a signal-to-noise ratio of the waveform, added to a spectrogram whose waveform is gone.

The energy of a sum of two sounds is ``|X + N|^2 = |X|^2 + |N|^2 + 2 Re(X N*)``. The phases of noise are random, so that the
last term is zero on average, and energies can be added cell by cell. The power of the sound, which fixes how loud the
noise must be, is a weighted sum of the mean energies of its mel bins.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from avcap.data.front_end import HOP, SAMPLE_RATE, FrontEnd

TONES = 512
TONE_SECONDS = 0.3
LOWEST, HIGHEST = 30.0, 7_900.0  # Hz
AUDIBLE = 1e-4  # a mel bin that answers no tone of power 1 with more energy than that holds no frequency


def energies(fbank: Tensor, front_end: FrontEnd) -> Tensor:
    """Mel energies ``[..., T, F]`` float64 of a raw spectrogram."""
    return (fbank.double() / front_end.log_unit).exp()


def spectrogram(energy: Tensor, front_end: FrontEnd) -> Tensor:
    """The raw spectrogram float32 of mel energies; inverse of :func:`energies`."""
    return (energy.log() * front_end.log_unit).float()


def silence(rows: int, front_end: FrontEnd) -> Tensor:
    """The raw spectrogram ``[rows, F]`` of digital silence."""
    return front_end(torch.zeros(samples_for(rows, front_end)))[:rows]


def samples_for(rows: int, front_end: FrontEnd) -> int:
    """Samples that give at least so many rows, with any front end."""
    return rows * HOP + front_end.window


def sound_power(fbank: Tensor, front_end: FrontEnd) -> float:
    """The mean square of the waveform that a raw spectrogram ``[T, F]`` was made of, its offset left out.

    On the embedded data set it is within 0.6 dB of that of the waveform for Kaldi with 64 bins, 0.2 dB for CED. What the front
    end has as its floor is no sound.
    """
    floor = energies(silence(1, front_end), front_end)  # [1, F]
    above = (energies(fbank, front_end) - floor).clamp_min(0)
    return float(above.mean(dim=0) @ power_weights(front_end))


def add_noise(fbank: Tensor, noise: Tensor, snr: float, front_end: FrontEnd) -> Tensor:
    """Add noise at a signal-to-noise ratio over the whole clip.

    Args:
        fbank: Raw spectrogram ``[T, F]``.
        noise: Samples ``[S]`` of the noise at any loudness, as many as :func:`samples_for` says.
        snr: Power of the sound over that of the noise, in dB. A silent clip therefore stays silent.
        front_end: What made the spectrogram.
    """
    gain = sound_power(fbank, front_end) / float(noise.double().square().mean()) * 10.0 ** (-snr / 10)
    added = energies(front_end(noise)[: len(fbank)], front_end)  # [T, F]
    return spectrogram(energies(fbank, front_end) + gain * added, front_end)


@lru_cache(maxsize=4)
def power_weights(front_end: FrontEnd) -> Tensor:
    """Weights ``[F]`` float64 whose product with a clip's mean mel energies is the power of its waveform.

    Found by least squares: every tone of power 1 between 30 and 7,900 Hz shall give 1. They undo the window, the
    pre-emphasis and the filters of any front end. A bin without a frequency of its own (Kaldi's filters are narrower than its
    resolution where there are many) has the weight 0.
    """
    hertz = torch.linspace(LOWEST, HIGHEST, TONES, dtype=torch.float64)[:, None]
    time = torch.arange(int(TONE_SECONDS * SAMPLE_RATE), dtype=torch.float64) / SAMPLE_RATE
    tones = math.sqrt(2) * torch.sin(2 * math.pi * hertz * time)  # [tones, samples], power 1
    answer = energies(front_end(tones.float()), front_end).mean(dim=1)  # [tones, F]
    peak = answer.amax(dim=0)
    heard = peak > AUDIBLE
    scaled = (answer[:, heard] / peak[heard]).numpy()  # the bins differ by orders of magnitude
    solution, *_ = np.linalg.lstsq(scaled, np.ones(TONES), rcond=1e-6)
    weights = torch.zeros_like(peak)
    weights[heard] = torch.from_numpy(solution) / peak[heard]
    return weights
