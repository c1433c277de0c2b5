"""L2 normalisation of tokens."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

NORM_FLOOR = 1e-12


def l2_normalise(x: Tensor) -> Tensor:
    """Compute ``x / |x|`` over the channels ``[B, N, C]``, in float32 (float64 stays); a zero vector stays zero."""
    return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1, eps=NORM_FLOOR)
