"""Optimal-transport attention whose tokens are contrasted across clips."""

from __future__ import annotations

from typing import Literal

from avcap.fusion.optimal_transport import OTAttention
from avcap.losses.clip_contrast import ClipContrast
from avcap.transport import GradientPolicy
from avcap.types import FusionOutput, Tokens


class ContrastedOTAttention(OTAttention):
    """LAVCap's transport attention with a contrast of clips added, so that the plan has something to go by (not in LAVCap).

    LAVCap's own loss cannot tell a clip's pictures from another's; see :class:`avcap.losses.ClipContrast`.

    Args:
        audio_width: Channels of the audio tokens, and of the fused ones.
        visual_width: Channels of the visual tokens; a linear layer is added where it differs.
        epsilon: Entropic regularisation of the plan, in units of cosine similarity.
        iterations: Sinkhorn iterations.
        plan: What LAVCap's loss contrasts with: "log" is the log plan (official code), "exp" the plan (paper).
        loss_weight: Factor of LAVCap's loss; 0 switches it off, the plan remains.
        rescale: Add the barycentric projection, a mean of the other stream (paper); False: the raw plan (official code).
        grad: "detach": no gradient through the plan (official code); "autodiff": through all iterations.
        clip_weight: Factor of the contrast of clips, the loss "clips".
        clip_epsilon: Entropic regularisation of its plans.
        clip_iterations: Their Sinkhorn iterations.
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
        clip_weight: float = 0.1,
        clip_epsilon: float = 0.05,
        clip_iterations: int = 20,
    ) -> None:
        super().__init__(
            audio_width,
            visual_width,
            epsilon=epsilon,
            iterations=iterations,
            plan=plan,
            loss_weight=loss_weight,
            rescale=rescale,
            grad=grad,
        )
        self.clips = ClipContrast(epsilon=clip_epsilon, iterations=clip_iterations, weight=clip_weight)

    def fuse(self, audio: Tokens, video: Tokens) -> FusionOutput:
        """As :class:`OTAttention`, with the loss "clips" added."""
        out = super().fuse(audio, video)
        return out._replace(losses={**out.losses, "clips": self.clips(audio, video)})
