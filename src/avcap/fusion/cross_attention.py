"""Cross-attention from audio to vision."""

from __future__ import annotations

from avcap.fusion.two_stream import TwoStreamFusion
from avcap.layers.cross_attention import CrossAttentionLayer
from avcap.layers.masking import fall_back
from avcap.types import AssignmentMap, FusionOutput, Tokens


class CrossAttention(TwoStreamFusion):
    """Audio tokens plus what they attend to among the visual tokens.

    LAVCap's own ``crossattn`` without transport builds this layer and never calls it, so that its tokens are those of
    :class:`AudioOnly`; here the attention takes part. Tokens are not normalised.

    Args:
        heads: Attention heads; None: one for every 64 channels.
        dropout: Dropout on the attention weights.
    """

    def __init__(
        self, audio_width: int | None, visual_width: int | None, *, heads: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__(audio_width, visual_width)
        self.cross_attention = CrossAttentionLayer(self.width, heads=heads, dropout=dropout)

    def fuse(self, audio: Tokens, video: Tokens) -> FusionOutput:
        """Fuse ``[B, Na, C], [B, Nv, C] -> [B, Na, C]``; in evaluation with the map "attention" (columns sum to 1)."""
        fused, weights = self.cross_attention(audio, video)  # [B, Na, C], [B, Na, Nv]
        maps = {} if weights is None else {"attention": AssignmentMap.of(weights.mT, visual=video, audio=audio)}
        return FusionOutput(fall_back(fused._replace(mask=audio.mask), video), {}, maps)
