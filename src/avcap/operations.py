"""How many floating-point operations a call takes, and how much memory a process has held."""

from __future__ import annotations

import resource
import sys
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from torch.utils.module_tracker import ModuleTracker


def operation_counter() -> FlopCounterMode:
    """Return a counter of floating-point operations that knows a CPU's fused attention too."""
    forward, backward = (
        getattr(torch.ops.aten, f"_scaled_dot_product_flash_attention_for_cpu{end}") for end in ("", "_backward")
    )
    counter = FlopCounterMode(
        display=False, custom_mapping={forward: _attention_flops, backward: _attention_backward_flops}
    )
    counter.mod_tracker = _OnePlace()
    return counter


class _OnePlace(ModuleTracker):
    """Counts all in one place: torch's tracker of modules hooks their inputs, which a loss that calls ``autograd.grad`` does not bear."""

    def __enter__(self) -> ModuleTracker:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""


def _attention_flops(q: torch.Size, k: torch.Size, v: torch.Size, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(q, k, v)


def _attention_backward_flops(grad: torch.Size, q: torch.Size, k: torch.Size, v: torch.Size, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(grad, q, k, v)


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that this process has held: on a CUDA device its tensors, else resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
