"""Adds to each token the tokens of the other stream, weighted by a transport plan."""

from __future__ import annotations

from torch import Tensor

from avcap.fusion.two_stream import TwoStreamFusion
from avcap.layers.masking import concat_time
from avcap.losses.token_plan import TokenPlan
from avcap.transport import apply_plan, barycentric_projection
from avcap.types import AssignmentMap, FusionOutput, Tokens


class TransportAdd(TwoStreamFusion):
    """Tokens of both streams in one sequence, each with its transport-weighted counterpart added (LAVCap's ``QAV_add``).

    Args:
        rescale: Add the barycentric projection, a mean of the other stream (paper); False: the raw plan, 1/Na and 1/Nv
            of that (official code).
        plan: Solves the plan. None: the plan of an aligner (see :class:`AlignedFusion`), or ``TokenPlan()`` where none does.
    """

    def __init__(
        self, audio_width: int | None, visual_width: int | None, *, rescale: bool = False, plan: TokenPlan | None = None
    ) -> None:
        super().__init__(audio_width, visual_width)
        self.rescale = rescale
        self.own_plan = plan is not None
        self.plan = plan or TokenPlan()

    def fuse(self, audio: Tokens, video: Tokens) -> FusionOutput:
        """Fuse ``[B, Na, C], [B, Nv, C] -> [B, Na + Nv, C]`` by a plan solved here; return it as the map "plan" ``[B, Nv, Na]``."""
        losses, transport = self.plan(audio, video)
        plan = transport.plan
        maps = {"plan": AssignmentMap.of(plan, visual=video, audio=audio)}
        return FusionOutput(self.add(audio, video, plan), losses, maps)

    def follow(self, audio: Tokens, video: Tokens, plan: Tensor | None) -> FusionOutput:
        """Fuse by the aligner's plan ``[B, Nv, Na]``, unless there is none or one of its own is set."""
        if plan is None or self.own_plan:
            return self(audio, video)
        return FusionOutput(self.add(audio, video, plan), {}, {})

    def add(self, audio: Tokens, video: Tokens, plan: Tensor) -> Tokens:
        """Fuse ``[B, Na, C], [B, Nv, C] -> [B, Na + Nv, C]``, given the plan ``[B, Nv, Na]``."""
        carry = barycentric_projection if self.rescale else apply_plan
        audio_add = carry(plan.mT, video.x)  # [B, Na, C]
        video_add = carry(plan, audio.x)  # [B, Nv, C]
        return concat_time(
            audio._replace(x=audio.x + audio_add.to(audio.x.dtype)),
            video._replace(x=video.x + video_add.to(video.x.dtype)),
        )
