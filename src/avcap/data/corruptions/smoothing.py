"""Gaussian smoothing along the last axis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def smooth(x: Tensor, sigma: float) -> Tensor:
    """Smooth ``[n, length]`` along its last axis by a Gaussian of deviation ``sigma``, cut at four deviations.

    Beyond the ends the outermost value goes on, so that a constant stays one.
    """
    radius = max(1, math.ceil(4 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=x.dtype)
    kernel = (-0.5 * (offsets / sigma).square()).exp()
    padded = torch.nn.functional.pad(x[:, None], (radius, radius), mode="replicate")  # [n, 1, length + 2 radius]
    return torch.nn.functional.conv1d(padded, (kernel / kernel.sum())[None, None])[:, 0]
