"""Alignment by optimal transport with uniform masses (DALI's OT)."""

from __future__ import annotations

from torch import Tensor

from avcap.layers.masking import zero_padding
from avcap.losses.dali_objective import AlignmentObjective, AlignmentOutput, mean_over_clips
from avcap.losses.dali_transport_distance import SinkhornTransport, TransportDistance
from avcap.transport import as_full_precision
from avcap.types import Tokens


class OTAlignment(AlignmentObjective):
    """Transport cost between the audio and the image tokens of a clip, all tokens of a set weighing the same.

    Args:
        distance: How it is computed: ``SinkhornTransport`` (the default), ``ExactTransport`` (the official code) or
            ``DebiasedTransport``.
    """

    def __init__(self, *, distance: TransportDistance | None = None) -> None:
        super().__init__()
        self.distance = distance or SinkhornTransport()

    def forward(self, audio: Tokens, image: Tokens, *, epoch: int) -> AlignmentOutput:
        """Compare tokens ``[B, Na, C]`` and ``[B, Nv, C]``; the epoch has no influence."""
        audio, image = zero_padding(audio), zero_padding(image)
        values = self.distance(audio.x, image.x, uniform_masses(audio), uniform_masses(image))  # [B]
        loss, per_clip = mean_over_clips(values, audio, image)
        return AlignmentOutput(loss, per_clip, {"transport": loss.detach()})


def uniform_masses(tokens: Tokens) -> Tensor:
    """Return ``1 / N`` on each of the N real tokens of a clip, 0 on padding; ``[B, N]``."""
    real = tokens.full_mask().to(as_full_precision(tokens.x[:0]).dtype)
    return real / real.sum(dim=1, keepdim=True).clamp_min(1)
