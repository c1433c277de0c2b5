"""Weather, water, crowds and knocks: sounds made of noise."""

from __future__ import annotations

import numpy as np

from avcap.scenes.sounds import signal
from avcap.scenes.sounds.call import Call


def hiss(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise patter: a dense rain of tiny clicks; ``light`` is sparse, ``heavy`` a roar."""
    rate = 90 if call.manner == "light" else 2500
    clicks = np.zeros(call.samples, dtype=np.float32)
    number = rng.poisson(rate * call.samples / signal.SAMPLE_RATE)
    clicks[rng.integers(0, call.samples, number)] = rng.normal(0, 1, number) ** 3
    tilt = rng.uniform(-4, 4)
    patter = signal.shape(clicks, ((200.0, -18.0), (1200.0, -2.0), (3500.0, 0.0), (7500.0, tilt - 3)))
    bed = signal.noise(rng, call.samples, ((200.0, -20.0), (1500.0, 0.0), (7500.0, tilt)))
    patter = patter / (patter.std() + 1e-9)
    return (patter + (0.1 if call.manner == "light" else 0.9) * bed) * signal.fade(
        call.samples, attack=0.15, release=0.2
    )


def knock(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise blows on wood: short thumps with resonances between 200 and 900 Hz, 2 (``slow``) or 6 (``fast``) a second."""
    rate = rng.uniform(5.4, 6.4) if call.manner == "fast" else rng.uniform(1.7, 2.2)
    length = 1300
    low = rng.uniform(200, 280)
    spectrum = signal.resonances((low, 0.0), (low * 2.3, -3.0), (low * 4.1, -8.0), width=0.25, floor=-30)
    blows = [signal.noise(rng, length, spectrum) * signal.decay(length, 0.02) * level for level in (1.0, 0.85, 0.95)]
    return signal.lay(call.samples, signal.pulse_starts(rng, call.samples, rate, jitter=0.08), blows)


def thunder(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise thunder: a crack and a long rolling rumble, once for each count."""
    number = call.times
    length = call.samples // number
    rumble = signal.noise(rng, length, ((30.0, 0.0), (120.0, 0.0), (400.0, -14.0), (2000.0, -40.0)))
    rumble = (
        rumble
        * (0.7 + 0.3 * signal.random_curve(rng, length, rate=7))
        * signal.glide(length, 0.5, 1, 0.8, 0.5, 0.25, 0.08)
    )
    crack = signal.noise(rng, length, ((100.0, 0.0), (3000.0, -6.0), (8000.0, -14.0))) * signal.decay(length, 0.06)
    return signal.lay(
        call.samples,
        np.arange(number) * length,
        [(rumble + 0.7 * crack) * signal.fade(length, attack=0.005, release=0.1)],
    )


def wind(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise wind: low noise with a howl; ``gust`` comes and goes twice in three seconds, ``steady`` stays."""
    low = signal.noise(rng, call.samples, ((40.0, -6.0), (250.0, 0.0), (500.0, -6.0), (1200.0, -30.0)))
    pitch = rng.uniform(420, 560)
    howl = signal.noise(rng, call.samples, signal.band(pitch, pitch * 1.12, slope=60))
    at = np.arange(call.samples) / signal.SAMPLE_RATE
    gust = (0.5 - 0.5 * np.cos(2 * np.pi * rng.uniform(0.75, 0.95) * at)) ** 2 if call.manner == "gust" else 0.75
    return ((low + 0.8 * howl) * (0.06 + gust) * signal.fade(call.samples, attack=0.2, release=0.25)).astype(np.float32)


def waves(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise surf: noise that swells and brightens as each wave breaks, then draws back."""
    at = np.mod(np.arange(call.samples) / signal.SAMPLE_RATE * rng.uniform(0.6, 0.75) + rng.uniform(0, 0.3), 1.0)
    swell = np.interp(at, [0, 0.35, 0.5, 1], [0.1, 0.6, 1.0, 0.1]).astype(np.float32)
    deep = signal.noise(rng, call.samples, ((60.0, -6.0), (300.0, 0.0), (1500.0, -12.0), (6000.0, -40.0)))
    foam = signal.noise(rng, call.samples, ((500.0, -25.0), (2500.0, 0.0), (7500.0, -6.0)))
    return (deep * (0.35 + 0.5 * swell) + foam * swell**3) * signal.fade(call.samples, attack=0.15, release=0.25)


def water(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise a tap: ``run`` splashes with bubbling resonances, ``drip`` lets single drops fall."""
    if call.manner == "drip":
        length = int(0.09 * signal.SAMPLE_RATE)
        at = np.arange(length) / signal.SAMPLE_RATE
        base = rng.uniform(900, 1200)
        drops = [
            (np.sin(2 * np.pi * base * step * (at + 4 * at**2)) * np.exp(-at / 0.018)).astype(np.float32)
            for step in (1.0, 1.15, 0.92)
        ]
        return signal.lay(
            call.samples, signal.pulse_starts(rng, call.samples, rng.uniform(2.6, 3.2), jitter=0.35), drops
        )
    stream = signal.noise(
        rng, call.samples, signal.resonances((700.0, 0.0), (1600.0, -2.0), (2700.0, -5.0), width=0.25, floor=-28)
    )
    return (
        stream
        * (0.75 + 0.25 * signal.random_curve(rng, call.samples, rate=22))
        * signal.fade(call.samples, attack=0.05, release=0.1)
    )
