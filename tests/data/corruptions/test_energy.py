"""Noise in the energy domain against noise in the waveform."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from avcap.data.corruptions.energy import add_noise, energies, power_weights, silence, sound_power, spectrogram
from avcap.data.corruptions.sound import COLOURS
from avcap.data.front_end import SAMPLE_RATE, CEDMelSpectrogram, FrontEnd, KaldiFbank

FRONT_ENDS = [KaldiFbank(64), KaldiFbank(128), CEDMelSpectrogram(64)]
SECONDS = 3


def power(wave: Tensor) -> float:
    return float(wave.double().square().mean())


def sounds() -> dict[str, Tensor]:
    """Waveforms of unlike spectra and envelopes."""
    time = torch.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    generator = torch.Generator().manual_seed(1)
    white = torch.randn(len(time), generator=generator)
    rumble = COLOURS["pink"](torch.randn(len(time), generator=generator))
    sweep = torch.sin(2 * math.pi * (200 + 900 * time) * time)
    bursts = white * (torch.sin(2 * math.pi * 2 * time) > 0.5)
    chord = sum(torch.sin(2 * math.pi * hertz * time) for hertz in (110, 330, 1_200)) * (time < 1.5)
    return {
        "white": 0.1 * white,
        "pink": 3.0 * rumble,
        "sweep": 0.5 * sweep,
        "bursts": 0.02 * bursts,
        "chord": 0.2 * chord,
    }


def name(front_end: FrontEnd) -> str:
    return f"{front_end.name}{front_end.mels}"


@pytest.mark.parametrize("front_end", FRONT_ENDS, ids=name)
@pytest.mark.parametrize("sound", sounds())
def test_the_power_of_a_sound_is_read_off_its_spectrogram(front_end: FrontEnd, sound: str):
    wave = sounds()[sound]
    decibels = 10 * math.log10(sound_power(front_end(wave), front_end) / power(wave))
    assert abs(decibels) < 1.0  # dB; pink noise has much power below the lowest filter


@pytest.mark.parametrize("front_end", FRONT_ENDS, ids=name)
@pytest.mark.parametrize("snr", [20.0, 0.0, -5.0])
@pytest.mark.parametrize("sound", ["sweep", "bursts", "pink"])
def test_mixing_energies_is_mixing_waveforms(front_end: FrontEnd, snr: float, sound: str):
    wave = sounds()[sound]
    rows = len(front_end(wave))
    noise = torch.randn((rows + 10) * 160, generator=torch.Generator().manual_seed(2))
    heard = noise[: len(wave)]
    mixed = front_end(wave + heard * math.sqrt(power(wave) / power(noise) * 10 ** (-snr / 10)))
    ours = add_noise(front_end(wave), noise, snr, front_end)
    assert ours.shape == mixed.shape
    # in the mean over the clip, mel bin by mel bin: the phases of sound and noise average out
    ratio = energies(ours, front_end).mean(0) / energies(mixed, front_end).mean(0)
    heard_bins = power_weights(front_end) > 0
    decibels = 10 * ratio[heard_bins].log10()
    assert decibels.mean().abs() < 0.8  # dB: how well the power is read off
    assert decibels.abs().quantile(0.9) < 1.5
    # and cell by cell, where chance phases remain: half of a normalised cell at most in nine of ten
    cells = ((ours - mixed).abs() / front_end.log_unit / 4.332)[:, heard_bins]
    assert cells.quantile(0.9) < 0.5


def test_the_ratio_is_that_of_the_waveform():
    front_end = KaldiFbank(64)
    wave = sounds()["sweep"]
    noise = torch.randn(len(wave) + 400, generator=torch.Generator().manual_seed(3))
    clean = front_end(wave)
    for snr in (10.0, -5.0):
        added = energies(add_noise(clean, noise, snr, front_end), front_end) - energies(clean, front_end)
        measured = 10 * math.log10(power(wave) / float(added.mean(0) @ power_weights(front_end)))
        assert measured == pytest.approx(snr, abs=0.7)  # dB


@pytest.mark.parametrize("front_end", FRONT_ENDS, ids=name)
def test_silence_is_that_of_the_front_end_and_stays_silent(front_end: FrontEnd):
    quiet = silence(100, front_end)
    assert torch.equal(quiet, front_end(torch.zeros(SAMPLE_RATE * 2))[:100])
    noise = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(add_noise(quiet, noise, 0.0, front_end), quiet, rtol=1e-5, atol=1e-5)


def test_energies_and_back():
    for front_end in FRONT_ENDS:
        fbank = front_end(sounds()["pink"])
        torch.testing.assert_close(spectrogram(energies(fbank, front_end), front_end), fbank, rtol=1e-5, atol=1e-5)
