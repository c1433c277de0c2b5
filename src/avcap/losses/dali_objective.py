"""The contract of the alignment objectives: make the distribution of audio tokens that of image tokens (DALI).

Malard et al., "An Eye for an Ear: Zero-shot Audio Description Leveraging an Image Captioner using Audiovisual
Distribution Alignment" (NeurIPS 2024).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from avcap.layers.masking import have_both, masked_mean
from avcap.types import Tokens, accept_tensors


class AlignmentOutput(NamedTuple):
    """The result of an alignment objective for a batch."""

    loss: Tensor  # scalar, mean over the clips that have both streams; minimised by the audio encoder
    per_clip: Tensor  # [B], 0 for a clip that lacks a stream
    logs: dict[str, Tensor]  # name -> scalar without a graph, to be looked at
    scorer_loss: Tensor | None = None  # scalar, minimised by scorer_parameters(); None: they rest in this step


class AlignmentObjective(nn.Module, ABC):
    """A distance between the audio tokens and the image tokens of each clip; sees no caption.

    Some objectives have scorers, parameters with a loss of their own. The gradients never mix: ``loss`` has none by the
    scorers' parameters, so ``(loss + scorer_loss).backward()`` gives every parameter the gradient of its own loss, and one
    backward pass serves both optimisers. In evaluation mode the objective is a fixed measure: no scorer takes part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_forward_pre_hook(accept_tensors, with_kwargs=True)

    @abstractmethod
    def forward(self, audio: Tokens, image: Tokens, *, epoch: int) -> AlignmentOutput:
        """Compare the token sets clip by clip.

        Args:
            audio: Audio tokens ``[B, Na, C]``.
            image: Image tokens ``[B, Nv, C]``.
            epoch: The epoch of training, counted from 1; some schedules go by it.

        Returns:
            The loss, its value for each clip, and the scorers' loss where there are any. A clip whose tokens are not finite
            has a value that is not finite: :func:`check_finite` names it.
        """

    def scorer_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that minimise ``scorer_loss``, for an optimiser of their own; none by default."""
        return []


def mean_over_clips(per_clip: Tensor, audio: Tokens, image: Tokens) -> tuple[Tensor, Tensor]:
    """Average values ``[B]`` over the clips that have both streams.

    Returns:
        The mean, a scalar (0 with a graph where no clip has both), and the values ``[B]`` with 0 for the other clips.
    """
    both = have_both(audio, image)  # [B]
    return masked_mean(per_clip, both), per_clip.masked_fill(~both, 0)


def check_finite(per_clip: Tensor, ids: Sequence[str]) -> None:
    """Stop where the value of a clip, of :class:`AlignmentOutput`, is NaN or infinite.

    Raises:
        ValueError: naming the clips.
    """
    finite = torch.isfinite(per_clip.detach())
    if bool(finite.all()):
        return
    broken = [
        f"{name} ({value:g})" for name, value, ok in zip(ids, per_clip.tolist(), finite.tolist(), strict=True) if not ok
    ]
    raise ValueError(
        f"The alignment loss is not finite for the clips {', '.join(broken)}; look at these clips, lower the learning "
        f"rate, or use precision 32-true."
    )
