"""The table of synthesisers and the one function that uses it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from avcap.scenes.sounds import ambience, animals, machines, voices
from avcap.scenes.sounds.call import Call
from avcap.scenes.sounds.signal import SAMPLE_RATE

Synthesiser = Callable[[np.random.Generator, Call], np.ndarray]
"""(generator, call) -> signal [samples] of any level."""

SYNTHESISERS: dict[str, Synthesiser] = {
    function.__name__: function
    for function in (
        *(machines.engine, machines.rotor, machines.siren, machines.horn),
        *(machines.ring, machines.beep, machines.tick, machines.bell),
        *(animals.bark, animals.growl, animals.whimper, animals.meow, animals.crow, animals.chirp, animals.quack),
        *(voices.speak_man, voices.speak_woman, voices.speak_child, voices.sing, voices.laugh, voices.cry),
        *(ambience.hiss, ambience.knock, ambience.thunder, ambience.wind, ambience.waves, ambience.water),
    )
}
"""Sound group -> the function that makes it."""


def synthesise(
    rng: np.random.Generator, sound_group: str, *, seconds: float, manner: str, count: int | None
) -> np.ndarray:
    """Make one sound at a standard level: [samples] float32 at 16 kHz, 99.5 % of them within +-0.5.

    Args:
        rng: Source of all variation (pitch, pace, timbre).
        sound_group: Key of :data:`SYNTHESISERS`. Kinds of one group share the distribution exactly.
        seconds: Length.
        manner: How it sounds, one of the kind's manners.
        count: How many times, for counted kinds.
    """
    samples = max(1, round(seconds * SAMPLE_RATE))
    x = SYNTHESISERS[sound_group](rng, Call(samples, manner, count)).astype(np.float32, copy=False)
    peak = float(np.percentile(np.abs(x[::3]), 99.5))
    return np.clip(x * (0.5 / max(peak, 1e-6)), -1.0, 1.0)
