"""Encoders: one stream of a clip in, tokens out.

Importing this package makes the short class names known to configs.
"""

from avcap.encoders.base import AudioEncoder, Encoder, VisualEncoder
from avcap.encoders.ced import CEDEncoder

__all__ = ["AudioEncoder", "CEDEncoder", "Encoder", "VisualEncoder"]
