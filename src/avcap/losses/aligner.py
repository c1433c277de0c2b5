"""The contract of an aligner: a loss between the tokens of two streams, beside the caption loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from avcap.types import Tokens, TransportPlan


class AlignerOutput(NamedTuple):
    """The losses and the plan of an :class:`Aligner`."""

    losses: dict[str, Tensor]  # name -> scalar, weighted; empty where it has no loss
    plan: TransportPlan | None = None  # [B, Nv, Na], rows visual, columns audio; None where it solves none


class Aligner(nn.Module, ABC):
    """Compares audio tokens with visual tokens of one width: named losses, and a transport plan where it solves one.

    Attributes:
        name: What :class:`avcap.fusion.AlignedFusion` calls the module, so the prefix of its weights in a checkpoint.
        solves_plan: Whether the output has a plan, which a merge may read.
    """

    name: ClassVar[str]
    solves_plan: ClassVar[bool] = False

    @abstractmethod
    def forward(self, audio: Tokens, video: Tokens) -> AlignerOutput:
        """Compare audio tokens ``[B, Na, C]`` with visual tokens ``[B, Nv, C]``; a clip that lacks a stream adds to no loss."""
