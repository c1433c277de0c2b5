"""Patches of one frame, or of two frames one after the other (tubelets) -> tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FramePatches(nn.Module):
    """A convolution over frames whose stride is its kernel, computed as one matrix product.

    The weight has the shape that the convolution would have: ``[C, 3, patch, patch]`` for single frames, as in an image
    transformer, and ``[C, 3, tubelet, patch, patch]`` for tubelets.

    Args:
        tubelet: Frames that are merged into one patch.
    """

    def __init__(self, width: int, patch: int, *, tubelet: int = 1) -> None:
        super().__init__()
        self.patch = patch
        self.tubelet = tubelet
        depth = () if tubelet == 1 else (tubelet,)
        self.weight = nn.Parameter(torch.empty(width, 3, *depth, patch, patch))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.xavier_uniform_(self.weight.data.flatten(1))

    def forward(self, frames: Tensor) -> Tensor:
        """Convert frames ``[B, N, 3, H, W]``, N a multiple of ``tubelet``, to ``[B, N/tubelet, H/patch, W/patch, C]``."""
        side = self.patch
        x = frames.unflatten(4, (-1, side)).unflatten(3, (-1, side)).unflatten(1, (-1, self.tubelet))
        x = x.permute(0, 1, 4, 6, 3, 2, 5, 7)  # [B, N/tubelet, H/patch, W/patch, 3, tubelet, patch, patch]
        return F.linear(x.flatten(4), self.weight.flatten(1), self.bias)  # [B, N/tubelet, H/patch, W/patch, C]
