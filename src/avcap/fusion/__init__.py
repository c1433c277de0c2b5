"""Fusions: how audio tokens and visual tokens become one set of tokens. One class, one strategy.

A fusion merges; :class:`AlignedFusion` is any merge with losses that align its inputs. ``lavcap`` has short names for LAVCap's.
"""

from avcap.fusion.aligned import AlignedFusion
from avcap.fusion.base import Fusion
from avcap.fusion.concat import ChannelConcat, TimeConcat
from avcap.fusion.cross_attention import CrossAttention
from avcap.fusion.interleaved import Interleaved
from avcap.fusion.lavcap import ContrastedOTAttention, OTAttention, OTChannelConcat, OTCrossAttention, OTTimeConcat
from avcap.fusion.llava_projection import LlavaProjection
from avcap.fusion.single import AudioOnly, VideoOnly
from avcap.fusion.token_concat import TokenConcat
from avcap.fusion.transport_add import TransportAdd
from avcap.fusion.two_stream import TwoStreamFusion
