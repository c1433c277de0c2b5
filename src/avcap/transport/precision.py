"""Arithmetic that must not be done in half precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return a context without autocast on any device (also on ``meta``, which has no autocast).

    Args:
        device: The device that the tensors of the block live on.
    """
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device_type=device.type, enabled=False)
    return nullcontext()


def as_full_precision(x: Tensor) -> Tensor:
    """Return ``x`` in float32, or in float64 if it is float64 already."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
