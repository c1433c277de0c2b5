"""Data: media files -> shards -> batches. Knows no model.

The names below are imported when they are first used: reading a caption file needs no Lightning.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avcap.data.audiocaps import AudioCapsDataModule
    from avcap.data.front_end import CEDMelSpectrogram, FrontEnd, KaldiFbank
    from avcap.data.text_module import TextDataModule
    from avcap.data.transforms import NoiseRoll, SpecAugment, Transform

_HOMES = {
    "AudioCapsDataModule": "audiocaps",
    "CEDMelSpectrogram": "front_end",
    "FrontEnd": "front_end",
    "KaldiFbank": "front_end",
    "NoiseRoll": "transforms",
    "SpecAugment": "transforms",
    "TextDataModule": "text_module",
    "Transform": "transforms",
}

__all__ = [
    "AudioCapsDataModule",
    "CEDMelSpectrogram",
    "FrontEnd",
    "KaldiFbank",
    "NoiseRoll",
    "SpecAugment",
    "TextDataModule",
    "Transform",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
