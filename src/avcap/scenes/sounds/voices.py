"""Speech-like babble, singing, laughter, crying."""

from __future__ import annotations

import numpy as np

from avcap.scenes.sounds import signal
from avcap.scenes.sounds.call import Call

VOWELS = ((730.0, 1100.0), (530.0, 1850.0), (300.0, 2250.0), (450.0, 900.0), (330.0, 800.0))
"""First and second formant (Hz) of a, e, i, o, u in an adult."""


def _formants(x: np.ndarray, first: float, second: float, *, stretch: float) -> np.ndarray:
    """Give a buzz the resonances of a mouth; ``stretch`` moves them up for a smaller speaker."""
    low, high = first * stretch, max(second, first * 1.6) * stretch
    return signal.shape(x, signal.resonances((low, 0.0), (high, -5.0), (high * 1.5 + 600, -12.0), width=0.2, floor=-45))


def _syllables(rng: np.random.Generator, *, pitch: float, seconds: float, stretch: float) -> list[np.ndarray]:
    """Synthesise one syllable per vowel: a short burst of breath and a vowel [samples]."""
    length = int(seconds * signal.SAMPLE_RATE)
    found = []
    for first, second in VOWELS:
        start, end = rng.uniform(0.9, 1.25, 2) * pitch
        vowel = _formants(
            signal.tone(signal.glide(length, start, end), 0.93 ** np.arange(40)), first, second, stretch=stretch
        )
        vowel = vowel / (np.abs(vowel).max() + 1e-9) * signal.fade(length, attack=0.03, release=0.06)
        breath = signal.noise(rng, 640, ((1000.0, -20.0), (3000.0, 0.0), (6000.0, 0.0))) * signal.fade(
            640, attack=0.01, release=0.02
        )
        vowel[:640] += 0.12 * breath
        found.append(vowel)
    return [found[number] for number in rng.permutation(len(found))]


def _babble(rng: np.random.Generator, samples: int, manner: str, *, pitch: float, stretch: float) -> np.ndarray:
    """Synthesise a row of syllables, 6 (``fast``) or 3 (``slow``) a second, with pauses between phrases."""
    rate = rng.uniform(6.0, 7.0) if manner == "fast" else rng.uniform(2.6, 3.1)
    syllables = _syllables(rng, pitch=pitch, seconds=0.85 / rate, stretch=stretch)
    return signal.lay(samples, signal.pulse_starts(rng, samples, rate, jitter=0.12), syllables)


def speak_man(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise babble at 95 to 125 Hz."""
    return _babble(rng, call.samples, call.manner, pitch=rng.uniform(95, 125), stretch=0.95)


def speak_woman(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise babble at 200 to 240 Hz."""
    return _babble(rng, call.samples, call.manner, pitch=rng.uniform(200, 240), stretch=1.12)


def speak_child(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise babble at 350 to 420 Hz."""
    return _babble(rng, call.samples, call.manner, pitch=rng.uniform(350, 420), stretch=1.4)


def sing(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise long notes of a scale with vibrato."""
    notes = 260 * 2 ** (
        rng.choice([0, 2, 4, 5, 7, 9, 12], size=max(2, round(call.samples / signal.SAMPLE_RATE / 0.55))) / 12
    )
    at = np.minimum((np.arange(call.samples) / call.samples * len(notes)).astype(int), len(notes) - 1)
    vibrato = 1 + 0.025 * np.sin(2 * np.pi * rng.uniform(5, 6) * np.arange(call.samples) / signal.SAMPLE_RATE)
    voice = signal.tone((notes[at] * rng.uniform(1.3, 1.5) * vibrato).astype(np.float32), 0.8 ** np.arange(20))
    first, second = VOWELS[rng.integers(2)]
    return _formants(voice, first, second, stretch=1.12) * signal.fade(call.samples, attack=0.08, release=0.2)


def laugh(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise ha-ha-ha: breathy bursts, five a second, each run falling in pitch."""
    length = int(0.13 * signal.SAMPLE_RATE)
    pitch = rng.uniform(330, 400)
    bursts = []
    for step in (1.25, 1.12, 1.0, 0.9, 0.8):
        voice = _formants(
            signal.tone(signal.glide(length, pitch * step, pitch * step * 0.9), 0.9 ** np.arange(20)),
            *VOWELS[0],
            stretch=1.12,
        )
        breath = signal.noise(rng, length, ((800.0, -20.0), (1800.0, 0.0), (5000.0, -6.0)))
        bursts.append(
            (voice / (np.abs(voice).max() + 1e-9) + 0.22 * breath) * signal.fade(length, attack=0.02, release=0.07)
        )
    bursts.append(np.zeros(length, np.float32))
    return signal.lay(call.samples, signal.pulse_starts(rng, call.samples, 5.2, jitter=0.1), bursts)


def cry(rng: np.random.Generator, call: Call) -> np.ndarray:
    """Synthesise a baby: long wails near 480 Hz that rise, waver and break off, one a second."""
    length = int(0.8 * signal.SAMPLE_RATE)
    pitch = rng.uniform(440, 540)
    line = signal.glide(length, 0.85, 1.15, 1.2, 1.1, 0.8) * (1 + 0.03 * signal.random_curve(rng, length, rate=20))
    wail = signal.tone(pitch * line, 0.88 ** np.arange(14)) * signal.fade(length, attack=0.08, release=0.15)
    wail = signal.shape(wail, signal.resonances((1100.0, 0.0), (3200.0, -3.0), width=0.35))
    return signal.lay(call.samples, signal.pulse_starts(rng, call.samples, 1.05), [wail, wail * 0.9])
