"""Positions of video frames in time, added to the tokens of each frame."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

TimeEmbeddingName = Literal["none", "learned", "sinusoidal"]


class NoTimeEmbedding(nn.Module):
    """Adds nothing; takes the arguments of its siblings."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Add the time to ``[B, N, P, C]``."""
        return x


class LearnedTimeEmbedding(nn.Module):
    """One learned vector per frame, from a normal of deviation 0.02."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(frames, width))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Add the time to tokens ``[B, N, P, C]`` (P per frame).

        Raises:
            ValueError: if there are more frames than vectors.
        """
        frames = x.shape[1]
        if frames > self.weight.shape[0]:
            raise ValueError(
                f"the clip has {frames} frames and the time embedding {self.weight.shape[0]}; raise max_frames."
            )
        return x + self.weight[:frames, None]


class SinusoidalTimeEmbedding(nn.Module):
    """The fixed sines and cosines of "Attention is all you need" (Vaswani et al., NeurIPS 2017), of any length.

    Raises:
        ValueError: if ``width`` is odd.
    """

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(
                f"width {width} is odd, which sines and cosines cannot fill; take time_embedding: learned."
            )
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """Add the time to tokens ``[B, N, P, C]``."""
        rate = torch.exp(torch.arange(0, self.width, 2, device=x.device) * (-math.log(10_000.0) / self.width))  # [C/2]
        angle = torch.arange(x.shape[1], device=x.device)[:, None] * rate  # [N, C/2]
        return x + torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, None].to(x.dtype)  # [N, 1, C]


TIME_EMBEDDINGS: dict[str, type[nn.Module]] = {
    "none": NoTimeEmbedding,
    "learned": LearnedTimeEmbedding,
    "sinusoidal": SinusoidalTimeEmbedding,
}
