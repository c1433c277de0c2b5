"""Data: media files -> shards -> batches. Knows no model.

The names below are imported when they are first used: reading a caption file needs no Lightning.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avcap.data.audiocaps import AudioCapsDataModule, Captions, ClipChoice
    from avcap.data.frame_sampling import FrameChoice
    from avcap.data.text_module import TextDataModule
    from avcap.data.transforms import NoiseRoll, SpecAugment, Transform

_HOMES = {
    "AudioCapsDataModule": "audiocaps",
    "Captions": "audiocaps",
    "ClipChoice": "audiocaps",
    "FrameChoice": "frame_sampling",
    "NoiseRoll": "transforms",
    "SpecAugment": "transforms",
    "TextDataModule": "text_module",
    "Transform": "transforms",
}

__all__ = [
    "AudioCapsDataModule",
    "Captions",
    "ClipChoice",
    "FrameChoice",
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
