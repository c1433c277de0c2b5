"""Building blocks of the synthesisers: shaped noise, harmonic tones, pulses, envelopes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SAMPLE_RATE = 16_000
"""Samples a second of everything that is synthesised."""

Points = tuple[tuple[float, float], ...]
"""A spectrum: (frequency in Hz, level in dB) pairs, joined by lines over log frequency."""


@lru_cache(maxsize=256)
def _gain(length: int, points: Points) -> np.ndarray:
    """Compute the gain of each bin of a real FFT of ``length`` samples."""
    frequency = np.maximum(np.fft.rfftfreq(length, 1 / SAMPLE_RATE), 1.0)
    hertz, level = zip(*points, strict=True)
    return (10 ** (np.interp(np.log(frequency), np.log(hertz), level) / 20)).astype(np.float32)


def fast_length(samples: int) -> int:
    """Return the next length that is fast for an FFT: a multiple of 2048."""
    return -(-samples // 2048) * 2048


def shape(x: np.ndarray, points: Points) -> np.ndarray:
    """Filter a signal [samples] by a gain, as (Hz, dB) pairs."""
    length = fast_length(len(x) + 512)
    return np.fft.irfft(np.fft.rfft(x, length) * _gain(length, points), length)[: len(x)].astype(np.float32)


def noise(rng: np.random.Generator, samples: int, points: Points) -> np.ndarray:
    """Draw Gaussian noise of a given spectrum, of standard deviation one [samples]."""
    x = shape(rng.standard_normal(samples, dtype=np.float32), points)
    return x / (x.std() + 1e-9)


def band(low: float, high: float, *, slope: float = 40.0) -> Points:
    """Return a band-pass spectrum that falls by ``slope`` dB within an octave outside ``low``..``high`` Hz."""
    return (
        (low / 4, -2 * slope),
        (low / 2, -slope),
        (low, 0.0),
        (high, 0.0),
        (2 * high, -slope),
        (4 * high, -2 * slope),
    )


def resonances(*peaks: tuple[float, float], width: float = 0.15, floor: float = -40.0) -> Points:
    """Return a spectrum of peaks: (Hz, dB) pairs in rising order, each ``width`` (relative) wide, over a floor in dB."""
    points: list[tuple[float, float]] = [(20.0, floor)]
    for hertz, level in peaks:
        points += [
            (hertz * (1 - width), floor * 0.6 + level),
            (hertz, level),
            (hertz * (1 + width), floor * 0.6 + level),
        ]
    return tuple(sorted(points)) + ((16_000.0, floor),)


def random_curve(rng: np.random.Generator, samples: int, *, rate: float) -> np.ndarray:
    """Return a slowly moving random curve between -1 and 1 that turns about ``rate`` times a second [samples]."""
    knots = max(3, int(np.ceil(samples / SAMPLE_RATE * rate)) + 2)
    values = rng.uniform(-1, 1, knots)
    at = np.linspace(0, knots - 1, samples)
    left = np.minimum(at.astype(int), knots - 2)
    part = 0.5 - 0.5 * np.cos(np.pi * (at - left))
    return (values[left] * (1 - part) + values[left + 1] * part).astype(np.float32)


def glide(samples: int, *values: float) -> np.ndarray:
    """Return a curve through evenly spaced values, joined by straight lines [samples]."""
    return np.interp(np.linspace(0, len(values) - 1, samples), np.arange(len(values)), values).astype(np.float32)


def tone(frequency: np.ndarray, amplitudes: np.ndarray) -> np.ndarray:
    """Synthesise harmonics of a moving fundamental, none above the Nyquist frequency.

    Args:
        frequency: Fundamental in Hz [samples].
        amplitudes: Amplitude of harmonic 1, 2, ... [harmonics], or over time as well [harmonics, samples].

    Returns:
        The sum of the harmonics [samples].
    """
    angle = 2 * np.pi * np.cumsum(frequency / SAMPLE_RATE, dtype=np.float64)
    angle = np.mod(angle, 2 * np.pi).astype(np.float32)
    twice_cosine, previous, current = 2 * np.cos(angle), np.zeros_like(angle), np.sin(angle)
    total = np.zeros_like(angle)
    highest = float(frequency.max())
    for number, amplitude in enumerate(amplitudes, start=1):
        if number * highest >= SAMPLE_RATE / 2:
            break
        total += amplitude * current
        previous, current = current, twice_cosine * current - previous  # sin(k+1)a = 2 cos(a) sin(ka) - sin(k-1)a
    return total


def fade(samples: int, *, attack: float, release: float) -> np.ndarray:
    """Return an envelope that rises in ``attack`` and falls in ``release`` seconds [samples]."""
    at = np.arange(samples, dtype=np.float32) / SAMPLE_RATE
    rise = np.clip(at / max(attack, 1e-4), 0, 1)
    fall = np.clip((samples / SAMPLE_RATE - at) / max(release, 1e-4), 0, 1)
    return rise * fall


def decay(samples: int, seconds: float) -> np.ndarray:
    """Return an exponential that falls to 1/e in ``seconds`` [samples]."""
    return np.exp(-np.arange(samples, dtype=np.float32) / (SAMPLE_RATE * seconds))


def lay(samples: int, starts: np.ndarray, sounds: list[np.ndarray]) -> np.ndarray:
    """Lay short sounds at ``starts`` on a line of silent samples, in turn; what hangs over the end is cut."""
    line = np.zeros(samples, dtype=np.float32)
    for number, start in enumerate(starts.astype(int)):
        piece = sounds[number % len(sounds)]
        end = min(samples, start + len(piece))
        if end > start:
            line[start:end] += piece[: end - start]
    return line


def pulse_starts(rng: np.random.Generator, samples: int, rate: float, *, jitter: float = 0.05) -> np.ndarray:
    """Return the starts of regular pulses at ``rate`` a second, each moved by up to ``jitter`` of a period [pulses]."""
    number = max(1, round(samples / SAMPLE_RATE * rate))
    period = samples / number
    return np.maximum(0, (np.arange(number) + rng.uniform(0, jitter, number)) * period)
