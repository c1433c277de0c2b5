"""LAVCap's fusions (ICASSP 2025), and one beyond: short names for merges aligned by its transport loss."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from avcap.fusion.aligned import AlignedFusion
from avcap.fusion.base import FusionFactory
from avcap.fusion.concat import ChannelConcat, TimeConcat
from avcap.fusion.cross_attention import CrossAttention
from avcap.fusion.transport_add import TransportAdd
from avcap.losses.aligner import Aligner
from avcap.losses.clip_contrast import ClipContrast
from avcap.losses.lavcap_plan_contrast import PlanContrast
from avcap.transport import GradientPolicy


class _PlanContrasted(AlignedFusion):
    """A merge of tokens of length 1, aligned by LAVCap's loss (the official code normalises in its variants with transport).

    Each subclass takes the settings of the loss as ``**contrast``: ``epsilon``, ``iterations``, ``plan``, ``loss_weight``, ``grad``.

    Args:
        epsilon: Entropic regularisation of the plan, in units of cosine similarity.
        iterations: Sinkhorn iterations.
        plan: What the loss contrasts with: "log" is the log plan (official code), "exp" the plan (paper).
        loss_weight: Factor of the transport loss; 0 switches it off, the plan remains.
        grad: "detach": no gradient through the plan (official code); "autodiff": through all iterations.
        merge: A fusion class.
        beside: Further aligners.
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
        grad: GradientPolicy = "detach",
        merge: FusionFactory,
        beside: tuple[Aligner, ...] = (),
    ) -> None:
        contrast = PlanContrast(epsilon=epsilon, iterations=iterations, plan=plan, weight=loss_weight, grad=grad)
        super().__init__(audio_width, visual_width, merge=merge, align=[contrast, *beside], normalise=True)


class OTAttention(_PlanContrasted):
    """Tokens of both streams, each with its transport-weighted counterpart added: LAVCap (``ot_tempcat_QAV_add``).

    Args:
        rescale: Add the mean of the other stream (paper); False: the raw plan times it (official code).
    """

    def __init__(
        self, audio_width: int | None, visual_width: int | None, *, rescale: bool = False, **contrast: Any
    ) -> None:
        super().__init__(audio_width, visual_width, merge=partial(TransportAdd, rescale=rescale), **contrast)


class OTTimeConcat(_PlanContrasted):
    """Time concatenation trained with the transport loss (LAVCap ablation ``ot_tempcat``)."""

    def __init__(self, audio_width: int | None, visual_width: int | None, **contrast: Any) -> None:
        super().__init__(audio_width, visual_width, merge=TimeConcat, **contrast)


class OTChannelConcat(_PlanContrasted):
    """Channel concatenation trained with the transport loss (LAVCap ablation ``ot_chancat``)."""

    def __init__(self, audio_width: int | None, visual_width: int | None, **contrast: Any) -> None:
        super().__init__(audio_width, visual_width, merge=ChannelConcat, **contrast)


class OTCrossAttention(_PlanContrasted):
    """Cross-attention from audio to vision, trained with the transport loss (LAVCap ablation ``ot_crossattn``).

    Args:
        heads: Attention heads; None: one for every 64 channels.
    """

    def __init__(
        self, audio_width: int | None, visual_width: int | None, *, heads: int | None = None, **contrast: Any
    ) -> None:
        super().__init__(audio_width, visual_width, merge=partial(CrossAttention, heads=heads), **contrast)


class ContrastedOTAttention(_PlanContrasted):
    """LAVCap's transport attention with a contrast between clips, which teaches the plan which tokens belong together.

    It is not in LAVCap, whose own loss cannot tell a clip's frames from another's; see :class:`avcap.losses.ClipContrast`.

    Args:
        rescale: Add the mean of the other stream (paper); False: the raw plan times it (official code).
        clips: The contrast of clips, the loss "clips"; None: ``ClipContrast()``.
    """

    def __init__(
        self,
        audio_width: int | None,
        visual_width: int | None,
        *,
        rescale: bool = False,
        clips: ClipContrast | None = None,
        **contrast: Any,
    ) -> None:
        beside = (clips or ClipContrast(),)
        super().__init__(
            audio_width, visual_width, merge=partial(TransportAdd, rescale=rescale), beside=beside, **contrast
        )
