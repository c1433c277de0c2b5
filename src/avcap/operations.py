"""How many floating-point operations a call takes, and how much memory a process has held."""

from __future__ import annotations

import resource
import sys
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count


def operation_counter() -> FlopCounterMode:
    """Return a counter of floating-point operations that knows a CPU's fused attention too."""
    forward, backward = (
        getattr(torch.ops.aten, f"_scaled_dot_product_flash_attention_for_cpu{end}") for end in ("", "_backward")
    )
    return FlopCounterMode(
        display=False, custom_mapping={forward: _attention_flops, backward: _attention_backward_flops}
    )


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
