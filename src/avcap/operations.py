"""How many floating-point operations a call takes, and how much memory a process has held."""

from __future__ import annotations

import copy
import resource
import sys
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
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


def step_operations(system: Any, batch: Mapping[str, Any], places: int, *keep: object) -> int:
    """Count the operations of a training step on a copy without weights, so that the training itself is not touched.

    torch rounds in other places while it counts: a counted step would differ from the same one uncounted.

    Args:
        system: A captioner or an alignment, with ``dry_loss``.
        batch: What it reads; masks are left out, padding counts.
        places: Token places of a clip that its decoder reads, of the streams and of the text.
        keep: Objects that the system knows and that are not copied.

    Returns:
        Those of forward and backward.
    """
    memo: dict[int, Any] = {id(each): each for each in keep}
    memo |= {id(tensor): _without_values(tensor) for tensor in chain(system.parameters(), system.buffers())}
    dry = copy.copy(system)
    dry._modules = {
        name: copy.deepcopy(part, memo) if part is not None and any(True for _ in part.parameters()) else part
        for name, part in system._modules.items()
    }
    inputs = {
        key: value.to("meta", torch.float32 if value.is_floating_point() else None)
        for key, value in batch.items()
        if isinstance(value, Tensor) and not key.endswith("_mask")
    }
    text = places - dry.fuse(inputs).tokens.x.shape[1] if hasattr(dry, "fuse") else 0
    with operation_counter() as counter:
        dry.dry_loss(inputs, text_tokens=max(2, text)).backward()
    return counter.get_total_flops()


def _without_values(tensor: Tensor) -> Tensor:
    """Return a float32 stand-in on the meta device; products of two number formats take as many operations."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    empty = torch.empty(tensor.shape, dtype=dtype, device="meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


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
