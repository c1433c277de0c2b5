"""Animal calls."""

from __future__ import annotations

import numpy as np

from avcap.scenes.sounds import signal
from avcap.scenes.sounds.call import Call


def _repeat(call: Call, cry: np.ndarray) -> np.ndarray:
    """Synthesise a cry, repeated ``count`` times at an even pace."""
    return signal.lay(call.samples, np.arange(call.times) * call.samples / call.times, [cry])


def bark(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise barks: short rough bursts whose pitch jumps up and falls."""
    length = int(0.22 * signal.SAMPLE_RATE)
    pitch = rng.uniform(320, 480)
    voice = signal.tone(signal.glide(length, pitch, pitch * 1.5, pitch * 0.8), 0.82 ** np.arange(14))
    rough = signal.noise(rng, length, ((200.0, -10.0), (700.0, 0.0), (1800.0, -3.0), (6000.0, -24.0)))
    return _repeat(call, (voice + 0.7 * rough) * signal.fade(length, attack=0.01, release=0.15))


def growl(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise a growl: a low throaty tone beaten 25 times a second."""
    pitch = rng.uniform(85, 110)
    voice = signal.tone(pitch * (1 + 0.08 * signal.random_curve(rng, call.samples, rate=4)), 0.93 ** np.arange(20))
    beat = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(22, 28) * np.arange(call.samples) / signal.SAMPLE_RATE)
    rough = signal.noise(rng, call.samples, signal.band(250, 900))
    return ((voice * 0.5 + rough) * beat * signal.fade(call.samples, attack=0.2, release=0.25)).astype(np.float32)


def whimper(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise whines: thin falling tones near 1.2 kHz, two a second."""
    length = int(0.36 * signal.SAMPLE_RATE)
    pitch = rng.uniform(1050, 1350)
    whine = signal.tone(signal.glide(length, pitch, pitch * 1.25, pitch * 0.75), np.array([1, 0.18, 0.06]))
    whine = whine * signal.fade(length, attack=0.06, release=0.15)
    return signal.lay(call.samples, signal.pulse_starts(rng, call.samples, 1.9), [whine, whine * 0.8])


def meow(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise meows: a bright gliding tone that opens and closes."""
    length = int(0.62 * signal.SAMPLE_RATE)
    pitch = rng.uniform(560, 720)
    cry = signal.tone(signal.glide(length, pitch * 0.8, pitch * 1.15, pitch, pitch * 0.7), 0.75 ** np.arange(10))
    closed, opened = signal.shape(cry, signal.band(300, 900)), signal.shape(cry, signal.band(900, 2600))
    return _repeat(
        call, (closed + opened * signal.glide(length, 0, 2, 1, 0)) * signal.fade(length, attack=0.1, release=0.2)
    )


def crow(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise cock-a-doodle-doo: three short steps and a long high note."""
    length = int(1.15 * signal.SAMPLE_RATE)
    pitch = rng.uniform(620, 740)
    steps = signal.glide(length, 1, 1, 1.3, 1.1, 1.1, 1.5, 1.9, 1.9, 1.8, 1.2)
    gate = signal.glide(length, 0, 1, 0, 1, 0, 1, 1, 1, 1, 0)
    voice = signal.tone(pitch * steps, 0.85 ** np.arange(9))
    return _repeat(call, voice * gate)


def chirp(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise a song bird: quick upward whistles in groups between 3 and 6 kHz."""
    starts = signal.pulse_starts(rng, call.samples, rng.uniform(6.0, 7.5), jitter=0.3)
    pitch = rng.uniform(3200, 3900)
    length = int(0.08 * signal.SAMPLE_RATE)
    whistles = [
        signal.tone(signal.glide(length, pitch * low, pitch * high, pitch * low), np.array([1.0]))
        * signal.fade(length, attack=0.02, release=0.04)
        for low, high in ((1.0, 1.4), (1.15, 1.6), (0.95, 1.2))
    ]
    keep = np.mod(np.arange(len(starts)), 5) != 4
    return signal.lay(call.samples, starts[keep], whistles)


def quack(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise quacks: nasal buzzing bursts with a strong 1.4 kHz resonance."""
    length = int(0.26 * signal.SAMPLE_RATE)
    pitch = rng.uniform(190, 230)
    buzz = signal.tone(signal.glide(length, pitch * 1.1, pitch, pitch * 0.8), np.ones(30))
    nasal = signal.shape(buzz, signal.resonances((1400.0, 0.0), (2900.0, -6.0), width=0.3))
    return _repeat(call, nasal * signal.fade(length, attack=0.015, release=0.08) * signal.decay(length, 0.3))
