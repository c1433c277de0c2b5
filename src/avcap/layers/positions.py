"""Fixed sine-cosine positions on a line and on a grid, and the fitting of learned ones to another number of steps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BASE = 10_000.0  # longest wave length, in units of 2 pi steps


def sincos_line(places: int, width: int) -> Tensor:
    """Compute positions ``[places, C]``, all sines first: ``[sin(p w_i), cos(p w_i)]`` with ``w_i = 10000^(-2 i / C)``.

    Vaswani et al., NeurIPS 2017; C is ``width``.

    Raises:
        ValueError: if ``width`` is odd.
    """
    if width % 2:
        raise ValueError(f"sine-cosine positions need an even number of channels, not {width}; change width.")
    rate = BASE ** (-torch.arange(width // 2, dtype=torch.float64) / (width // 2))  # [C/2]
    angle = torch.arange(places, dtype=torch.float64)[:, None] * rate  # [places, C/2]
    return torch.cat([angle.sin(), angle.cos()], dim=1).float()


def sincos_grid(rows: int, columns: int, width: int) -> Tensor:
    """Compute positions ``[rows * columns, width]`` on a grid: half of the channels encodes the column, then half the row.

    Row by row, as in MAE (He et al., CVPR 2022).

    Raises:
        ValueError: if ``width`` is no multiple of 4.
    """
    if width % 4:
        raise ValueError(f"sine-cosine positions on a grid need a multiple of 4 channels, not {width}; change width.")
    column = sincos_line(columns, width // 2).expand(rows, -1, -1)  # [rows, columns, C/2]
    row = sincos_line(rows, width // 2)[:, None].expand(-1, columns, -1)  # [rows, columns, C/2]
    return torch.cat([column, row], dim=2).flatten(0, 1)


def resample_steps(positions: Tensor, steps: int, *, places: int) -> Tensor:
    """Interpolate positions ``[1, old steps * places, C]``, time slowest, to ``steps`` time steps; repeat a single step.

    Linear in time; ``places`` are the positions within a step.
    """
    grid = positions.unflatten(1, (-1, places))  # [1, old, P, C]
    if grid.shape[1] == steps:
        return positions
    line = grid.permute(0, 2, 3, 1).flatten(1, 2)  # [1, P * C, old]
    line = F.interpolate(line.float(), size=steps, mode="linear", align_corners=False).to(positions.dtype)
    return line.unflatten(1, grid.shape[2:]).permute(0, 3, 1, 2).flatten(1, 2)  # [1, steps * P, C]
