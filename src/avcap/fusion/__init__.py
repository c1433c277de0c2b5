"""Fusions: how audio tokens and visual tokens become one set of tokens. One class, one strategy."""

from avcap.fusion.base import Fusion
from avcap.fusion.concat import ChannelConcat, TimeConcat
from avcap.fusion.contrasted import ContrastedOTAttention
from avcap.fusion.cross_attention import CrossAttention
from avcap.fusion.interleaved import Interleaved
from avcap.fusion.llava_projection import LlavaProjection
from avcap.fusion.optimal_transport import OTAttention, OTChannelConcat, OTCrossAttention, OTTimeConcat, TransportFusion
from avcap.fusion.single import AudioOnly, VideoOnly
from avcap.fusion.token_concat import TokenConcat
from avcap.fusion.two_stream import TwoStreamFusion

__all__ = [
    "AudioOnly",
    "ChannelConcat",
    "ContrastedOTAttention",
    "CrossAttention",
    "Fusion",
    "Interleaved",
    "LlavaProjection",
    "OTAttention",
    "OTChannelConcat",
    "OTCrossAttention",
    "OTTimeConcat",
    "TimeConcat",
    "TokenConcat",
    "TransportFusion",
    "TwoStreamFusion",
    "VideoOnly",
]
