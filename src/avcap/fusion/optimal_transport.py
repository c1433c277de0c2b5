"""Fusions aligned by optimal transport (LAVCap, ICASSP 2025)."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

from torch import Tensor

from avcap.fusion.two_stream import TwoStreamFusion
from avcap.layers.cross_attention import CrossAttention as CrossAttentionLayer
from avcap.layers.masking import concat_time, fall_back
from avcap.layers.normalise import l2_normalise
from avcap.layers.placement import concat_channels
from avcap.losses.lavcap_plan_contrast import PlanContrast
from avcap.transport import GradientPolicy, apply_plan, barycentric_projection
from avcap.types import AssignmentMap, FusionOutput, Tokens


class TransportFusion(TwoStreamFusion):
    """Base of the fusions with a transport plan: solves it, adds its loss, and normalises the tokens.

    The tokens handed on have length 1, as in the official code (which does so only in its variants with transport).

    Args:
        audio_width: Channels of the audio tokens; the fused width is ``width_factor`` times that.
        visual_width: Channels of the visual tokens; a linear layer is added where it differs.
        epsilon: Entropic regularisation of the plan, in units of cosine similarity.
        iterations: Sinkhorn iterations.
        plan: What the loss contrasts with: "log" is the log plan (official code), "exp" the plan (paper).
        loss_weight: Factor of the transport loss; 0 switches it off, the plan remains.
        grad: "detach": no gradient through the plan (official code); "autodiff": through all iterations.

    Attributes:
        width_factor: The fused width in units of the audio width.
    """

    width_factor: ClassVar[int] = 1

    def __init__(
        self,
        audio_width: int | None,
        visual_width: int | None,
        *,
        epsilon: float = 0.1,
        iterations: int = 50,
        plan: Literal["log", "exp"] = "log",
        loss_weight: float = 1.0,
        grad: GradientPolicy = "detach",
    ) -> None:
        super().__init__(audio_width, visual_width)
        self.width = self.width_factor * self.width
        self.contrast = PlanContrast(epsilon=epsilon, iterations=iterations, plan=plan, weight=loss_weight, grad=grad)

    @abstractmethod
    def merge(self, audio: Tokens, video: Tokens, plan: Tensor) -> Tokens:
        """Fuse normalised tokens ``[B, Na, C]``, ``[B, Nv, C]`` given the plan ``[B, Nv, Na]``."""

    def fuse(self, audio: Tokens, video: Tokens) -> FusionOutput:
        """Align, then :meth:`merge`; losses "ot_visual" and "ot_audio", map "plan" ``[B, Nv, Na]``."""
        losses, transport = self.contrast(audio, video)
        plan = transport.plan
        audio = audio._replace(x=l2_normalise(audio.x).to(audio.x.dtype))
        video = video._replace(x=l2_normalise(video.x).to(video.x.dtype))
        maps = {"plan": AssignmentMap.of(plan, visual=video, audio=audio)}
        return FusionOutput(self.merge(audio, video, plan), losses, maps)


class OTAttention(TransportFusion):
    """Tokens of both streams, each with its transport-weighted counterpart added: LAVCap (``ot_tempcat_QAV_add``).

    Args:
        audio_width: Channels of the audio tokens, and of the fused ones.
        visual_width: Channels of the visual tokens; a linear layer is added where it differs.
        epsilon: Entropic regularisation of the plan, in units of cosine similarity.
        iterations: Sinkhorn iterations.
        plan: What the loss contrasts with: "log" is the log plan (official code), "exp" the plan (paper).
        loss_weight: Factor of the transport loss; 0 switches it off, the plan remains.
        rescale: Add the barycentric projection, a mean of the other stream (paper); False: the raw plan, 1/Na and 1/Nv
            of that (official code).
        grad: "detach": no gradient through the plan (official code); "autodiff": through all iterations.
    """

    def __init__(
        self,
        audio_width: int | None,
        visual_width: int | None,
        *,
        epsilon: float = 0.1,
        iterations: int = 50,
        plan: Literal["log", "exp"] = "log",
        loss_weight: float = 1.0,
        rescale: bool = False,
        grad: GradientPolicy = "detach",
    ) -> None:
        super().__init__(
            audio_width,
            visual_width,
            epsilon=epsilon,
            iterations=iterations,
            plan=plan,
            loss_weight=loss_weight,
            grad=grad,
        )
        self.rescale = rescale

    def merge(self, audio: Tokens, video: Tokens, plan: Tensor) -> Tokens:
        """``[B, Na, C], [B, Nv, C] -> [B, Na + Nv, C]``."""
        carry = barycentric_projection if self.rescale else apply_plan
        audio_add = carry(plan.mT, video.x)  # [B, Na, C]
        video_add = carry(plan, audio.x)  # [B, Nv, C]
        return concat_time(
            audio._replace(x=audio.x + audio_add.to(audio.x.dtype)),
            video._replace(x=video.x + video_add.to(video.x.dtype)),
        )


class OTTimeConcat(TransportFusion):
    """Time concatenation trained with the transport loss (LAVCap ablation ``ot_tempcat``)."""

    def merge(self, audio: Tokens, video: Tokens, plan: Tensor) -> Tokens:
        """``[B, Na, C], [B, Nv, C] -> [B, Na + Nv, C]``."""
        return concat_time(audio, video)


class OTChannelConcat(TransportFusion):
    """Channel concatenation trained with the transport loss (LAVCap ablation ``ot_chancat``); twice the audio width."""

    width_factor = 2

    def merge(self, audio: Tokens, video: Tokens, plan: Tensor) -> Tokens:
        """``[B, Na, C], [B, Nv, C] -> [B, Na, 2 C]``."""
        return concat_channels(audio, video)


class OTCrossAttention(TransportFusion):
    """Cross-attention from audio to vision, trained with the transport loss (LAVCap ablation ``ot_crossattn``).

    Args:
        audio_width: Channels of the audio tokens, and of the fused ones.
        visual_width: Channels of the visual tokens; a linear layer is added where it differs.
        heads: Attention heads; None: one for every 64 channels.
        epsilon: Entropic regularisation of the plan, in units of cosine similarity.
        iterations: Sinkhorn iterations.
        plan: What the loss contrasts with: "log" is the log plan (official code), "exp" the plan (paper).
        loss_weight: Factor of the transport loss; 0 switches it off, the plan remains.
        grad: "detach": no gradient through the plan (official code); "autodiff": through all iterations.
    """

    def __init__(
        self,
        audio_width: int | None,
        visual_width: int | None,
        *,
        heads: int | None = None,
        epsilon: float = 0.1,
        iterations: int = 50,
        plan: Literal["log", "exp"] = "log",
        loss_weight: float = 1.0,
        grad: GradientPolicy = "detach",
    ) -> None:
        super().__init__(
            audio_width,
            visual_width,
            epsilon=epsilon,
            iterations=iterations,
            plan=plan,
            loss_weight=loss_weight,
            grad=grad,
        )
        self.cross_attention = CrossAttentionLayer(self.width, heads=heads)

    def merge(self, audio: Tokens, video: Tokens, plan: Tensor) -> Tokens:
        """``[B, Na, C], [B, Nv, C] -> [B, Na, C]``."""
        fused, _ = self.cross_attention(audio, video)
        return fall_back(fused, video)
