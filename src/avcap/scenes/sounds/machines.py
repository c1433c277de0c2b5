"""Engines, rotors, sirens, horns, and machines that ring, beep or tick."""

from __future__ import annotations

import numpy as np

from avcap.scenes.sounds import signal
from avcap.scenes.sounds.call import Call


def engine(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise a combustion engine: harmonics of the firing rate and a rough noise; ``rev`` sweeps it up and down."""
    base = rng.uniform(38, 55)
    if call.manner == "rev":
        top = rng.uniform(3.0, 4.0) * base
        frequency = signal.glide(call.samples, base, top, base * 1.3, top * 1.1, base * 1.2)
    else:
        frequency = base * (1 + 0.04 * signal.random_curve(rng, call.samples, rate=3))
    harmonics = 0.9 ** np.arange(24) * rng.uniform(0.6, 1.0, 24)
    beat = 1 + 0.6 * signal.tone(frequency / 2, np.ones(1))
    rough = signal.noise(rng, call.samples, ((40.0, -6.0), (200.0, 0.0), (1500.0, -12.0), (8000.0, -36.0)))
    return (
        (signal.tone(frequency, harmonics) * 0.6 + rough * 0.8)
        * beat
        * signal.fade(call.samples, attack=0.1, release=0.15)
    )


def rotor(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise helicopter blades: chops of noise, 10 to 13 a second; ``pass`` swells and fades."""
    rate = rng.uniform(10, 13)
    starts = signal.pulse_starts(rng, call.samples, rate, jitter=0.02)
    length = 1100
    chop = signal.noise(rng, length, ((60.0, 0.0), (300.0, -3.0), (1500.0, -10.0), (8000.0, -30.0))) * signal.decay(
        length, 0.02
    )
    wash = signal.noise(rng, call.samples, signal.band(900, 3000)) * 0.12
    swell = signal.glide(call.samples, 0.08, 0.35, 1.0, 0.35, 0.08) if call.manner == "pass" else 1.0
    return (
        (signal.lay(call.samples, starts, [chop]) + wash) * swell * signal.fade(call.samples, attack=0.1, release=0.2)
    )


def siren(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise a siren: ``wail`` sweeps slowly between 600 and 1400 Hz, ``yelp`` fast."""
    rate = rng.uniform(4.0, 5.0) if call.manner == "yelp" else rng.uniform(0.45, 0.6)
    at = np.arange(call.samples) / 16_000
    sweep = 0.5 - 0.5 * np.cos(2 * np.pi * (rate * at + rng.uniform(0, 0.2)))
    frequency = rng.uniform(560, 650) + rng.uniform(750, 850) * sweep
    return signal.tone(frequency.astype(np.float32), np.array([1, 0.5, 0.35, 0.2])) * signal.fade(
        call.samples, attack=0.05, release=0.1
    )


def horn(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise a car horn: two steady tones a third apart, once for each count."""
    period = call.samples / call.times
    length = int(period * rng.uniform(0.6, 0.72))
    low = rng.uniform(370, 430)
    spectrum = 0.8 ** np.arange(12)
    blast = signal.tone(np.full(length, low, np.float32), spectrum) + signal.tone(
        np.full(length, low * 1.26, np.float32), spectrum
    )
    return signal.lay(
        call.samples, np.arange(call.times) * period, [blast * signal.fade(length, attack=0.02, release=0.04)]
    )


def ring(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise a telephone bell: two high partials struck 20 times a second, on and off."""
    high = rng.uniform(1500, 1800)
    flutter = 0.55 + 0.45 * np.sign(np.sin(2 * np.pi * rng.uniform(18, 22) * np.arange(call.samples) / 16_000))
    tones = signal.tone(np.full(call.samples, high, np.float32), np.array([1, 0.2, 0.3])) + signal.tone(
        np.full(call.samples, high * 1.25, np.float32), np.array([0.8, 0.1, 0.2])
    )
    at = np.arange(call.samples) / 16_000
    gate = np.mod(at, 1.0) < 0.7
    return (tones * flutter * gate * signal.fade(call.samples, attack=0.01, release=0.05)).astype(np.float32)


def beep(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise an alarm: short beeps of one pure pitch, 3 (``slow``) or 8 (``fast``) a second."""
    rate = rng.uniform(7.0, 8.5) if call.manner == "fast" else rng.uniform(2.2, 2.8)
    pitch = rng.uniform(2700, 3200)
    on = np.mod(np.arange(call.samples) / 16_000 * rate, 1.0) < 0.5
    return (signal.tone(np.full(call.samples, pitch, np.float32), np.array([1.0, 0.25])) * on).astype(np.float32)


def tick(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise a clock: bright dry clicks, high and low in turn, 2 (``slow``) or 5 (``fast``) a second."""
    rate = rng.uniform(4.6, 5.6) if call.manner == "fast" else rng.uniform(1.8, 2.3)
    length = 480
    pitch = rng.uniform(3600, 4400)
    clicks = [
        signal.noise(rng, length, signal.resonances((pitch * ratio, 0.0), (pitch * ratio * 1.5, -4.0)))
        * signal.decay(length, 0.006)
        for ratio in (1.0, 0.8)
    ]
    return signal.lay(call.samples, signal.pulse_starts(rng, call.samples, rate, jitter=0.0), clicks)


def bell(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise a church bell: inharmonic partials that ring on, once for each count."""
    period = call.samples / call.times
    length = int(period)
    pitch = rng.uniform(260, 360)
    partials = (
        (0.5, 0.5, 0.9),
        (1.0, 1.0, 0.7),
        (1.2, 0.7, 0.5),
        (2.0, 0.8, 0.35),
        (2.7, 0.5, 0.25),
        (4.1, 0.35, 0.15),
    )
    stroke = sum(
        signal.tone(np.full(length, pitch * ratio, np.float32), np.ones(1)) * level * signal.decay(length, seconds)
        for ratio, level, seconds in partials
    )
    stroke = stroke * signal.fade(length, attack=0.003, release=0.05)
    return signal.shape(
        signal.lay(call.samples, np.arange(call.times) * period, [stroke]), ((50.0, 0.0), (8000.0, 0.0))
    )
