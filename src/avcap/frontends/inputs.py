"""The inputs of a model: its keys of a batch, and the front end of its audio encoder."""

from __future__ import annotations

from dataclasses import dataclass

from avcap.frontends.base import FrontEnd

AUDIO, FRAMES, FEATURES = "audio", "frames", "visual_features"
KEYS = (AUDIO, FRAMES, FEATURES)


@dataclass(frozen=True)
class Inputs:
    """The inputs that a model needs.

    Attributes:
        frontend: Makes ``audio`` of a waveform; None: no sound is read.
        keys: Keys of :class:`avcap.types.Batch` that its encoders read.
    """

    frontend: FrontEnd | None = None
    keys: tuple[str, ...] = KEYS
