"""DALI's alignment objectives inside a captioner."""

from __future__ import annotations

from avcap.losses.aligner import Aligner, AlignerOutput
from avcap.losses.dali_objective import AlignmentObjective
from avcap.types import Tokens


class ObjectiveAligner(Aligner):
    """A distance between the audio and visual tokens of each clip, such as DALI's OT or MMD, beside the caption loss.

    In DALI the objective is minimised alone, by the audio encoder; here it has a gradient by both streams.

    Args:
        objective: ``OTAlignment``, ``MMDAlignment`` or ``ContrastiveAlignment``.
        weight: Factor of the loss "objective".

    Raises:
        ValueError: if the objective has scorers, or the weight is not above 0.
    """

    name = "objective"

    def __init__(self, objective: AlignmentObjective, *, weight: float = 1.0) -> None:
        super().__init__()
        if objective.scorer_parameters():
            raise ValueError(
                f"{type(objective).__name__} has scorers, which need an optimiser of their own; choose OTAlignment, "
                "MMDAlignment or ContrastiveAlignment."
            )
        if not weight > 0:
            raise ValueError(f"The weight of ObjectiveAligner is {weight}, it must be above 0.")
        self.objective = objective
        self.weight = weight

    def forward(self, audio: Tokens, video: Tokens) -> AlignerOutput:
        """Return the weighted loss "objective" of tokens ``[B, Na, C]`` and ``[B, Nv, C]``."""
        return AlignerOutput({"objective": self.weight * self.objective(audio, video, epoch=1).loss})
