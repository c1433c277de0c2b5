"""Encoders: one stream of a clip in, tokens out.

Importing this package makes the short class names known to configs.
"""

from avcap.encoders.base import AudioEncoder, Encoder, VisualEncoder
from avcap.encoders.cav_mae_audio import CAVMAEAudio
from avcap.encoders.cav_mae_visual import CAVMAEVisual
from avcap.encoders.ced import CEDEncoder
from avcap.encoders.clip import CLIPVisual
from avcap.encoders.dali_audio import DALIAudio
from avcap.encoders.llava_vision import LlavaVision
from avcap.encoders.precomputed import PrecomputedVisual
from avcap.encoders.timm_visual import TimmVisual
