"""Alignment by maximum mean discrepancy (DALI's MMD)."""

from __future__ import annotations

from avcap.layers.masking import zero_padding
from avcap.losses.dali_objective import AlignmentObjective, AlignmentOutput, mean_over_clips
from avcap.transport import mmd
from avcap.types import Tokens


class MMDAlignment(AlignmentObjective):
    """Squared MMD between the audio and the image tokens of a clip, with Gaussian kernels of a bandwidth from the data.

    Args:
        kernels: Gaussian kernels, each twice as wide as the one before.
    """

    def __init__(self, *, kernels: int = 5) -> None:
        super().__init__()
        if kernels < 1:
            raise ValueError(f"MMDAlignment: kernels is {kernels}, it must be at least 1.")
        self.kernels = kernels

    def forward(self, audio: Tokens, image: Tokens, *, epoch: int) -> AlignmentOutput:
        """Compare tokens ``[B, Na, C]`` and ``[B, Nv, C]``; the epoch has no influence."""
        audio, image = zero_padding(audio), zero_padding(image)
        values = mmd(audio.x, image.x, mask_x=audio.mask, mask_y=image.mask, kernels=self.kernels)  # [B]
        loss, per_clip = mean_over_clips(values, audio, image)
        return AlignmentOutput(loss, per_clip, {"mmd": loss.detach()})
