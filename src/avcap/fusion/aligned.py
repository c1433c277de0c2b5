"""Any merge of two streams, aligned in any way."""

from __future__ import annotations

from avcap.fusion.base import FusionFactory
from avcap.fusion.two_stream import TwoStreamFusion
from avcap.layers.normalise import l2_normalise
from avcap.losses.aligner import Aligner
from avcap.types import AssignmentMap, FusionOutput, Pretrainable, Tokens


class AlignedFusion(TwoStreamFusion):
    """A merge of two streams combined with aligners: any fusion, with any losses between its inputs.

    The visual tokens are brought to the audio width, compared with the audio tokens by every aligner, and merged. A merge
    that moves tokens along a transport plan (:class:`TransportAdd`) takes that of the first aligner that solves one.

    Args:
        merge: A fusion class; it is given the audio width for both streams.
        align: What compares the tokens, one or several of different kinds: LAVCap's ``PlanContrast``, ``ClipContrast``,
            ``ObjectiveAligner`` (DALI's), ``TokenPlan`` (a plan without a loss). None: nothing does.
        normalise: Merge tokens of length 1, as LAVCap does; False: as they are.

    Raises:
        ValueError: if two aligners are of one kind.
    """

    def __init__(
        self,
        audio_width: int | None,
        visual_width: int | None,
        *,
        merge: FusionFactory,
        align: Aligner | list[Aligner] | None = None,
        normalise: bool = False,
    ) -> None:
        super().__init__(audio_width, visual_width)
        aligners = align if isinstance(align, list) else [] if align is None else [align]
        self.aligners = tuple(aligner.name for aligner in aligners)
        if len(set(self.aligners)) < len(self.aligners):
            raise ValueError(
                f"fusion.align holds two aligners of one kind ({', '.join(self.aligners)}); leave one of them out."
            )
        for aligner in aligners:
            self.add_module(aligner.name, aligner)
        self.merge = merge(self.width, self.width)
        self.width = self.merge.width
        self.normalise = normalise

    @property
    def pretrained(self) -> str | None:
        """What :meth:`load_pretrained` reads from, None where it reads nothing."""
        return self.merge.pretrained if isinstance(self.merge, Pretrainable) else None

    @property
    def always_saved(self) -> tuple[str, ...]:
        """What only a checkpoint holds of a merge that is read from a file."""
        return tuple(f"merge.{name}" for name in getattr(self.merge, "always_saved", ()))

    def fuse(self, audio: Tokens, video: Tokens) -> FusionOutput:
        """Align, then merge; return losses and maps of both, the map "plan" ``[B, Nv, Na]`` where an aligner solves one."""
        outputs = [self.get_submodule(name)(audio, video) for name in self.aligners]
        plan = next((out.plan.plan for out in outputs if out.plan is not None), None)
        if self.normalise:
            audio, video = _unit(audio), _unit(video)
        merged = self.merge.follow(audio, video, plan)
        losses = {name: loss for out in outputs for name, loss in out.losses.items()}
        maps = {} if plan is None else {"plan": AssignmentMap.of(plan, visual=video, audio=audio)}
        return FusionOutput(merged.tokens, {**losses, **merged.losses}, {**maps, **merged.maps})

    def load_pretrained(self) -> None:
        """Load the weights of the merge; does nothing where it names none."""
        if isinstance(self.merge, Pretrainable) and self.merge.pretrained is not None:
            self.merge.load_pretrained()


def _unit(tokens: Tokens) -> Tokens:
    return tokens._replace(x=l2_normalise(tokens.x).to(tokens.x.dtype))
