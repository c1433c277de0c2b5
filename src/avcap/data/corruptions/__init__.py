"""Corruptions of one stream of a clip, for robustness tests."""

from avcap.data.corruptions.base import Corruption, CorruptionSource
from avcap.data.corruptions.pictures import (
    BlackPictures,
    BlurredPictures,
    DroppedPictures,
    NoisyPictures,
    ShiftedPictures,
    SwappedPictures,
)
from avcap.data.corruptions.sound import DroppedSound, NoisySound, ShiftedSound, SilentSound, SmearedSound, SwappedSound
from avcap.data.corruptions.suite import suite
