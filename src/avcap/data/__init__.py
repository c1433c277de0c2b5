"""Data: media files -> shards -> batches. Knows no model."""

from avcap.data.audiocaps import AudioCapsDataModule
from avcap.data.front_end import CEDMelSpectrogram, FrontEnd, KaldiFbank
from avcap.data.transforms import NoiseRoll, SpecAugment, Transform

__all__ = [
    "AudioCapsDataModule",
    "CEDMelSpectrogram",
    "FrontEnd",
    "KaldiFbank",
    "NoiseRoll",
    "SpecAugment",
    "Transform",
]
