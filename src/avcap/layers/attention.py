"""Attention: the layers around the heads, and attention itself on heads that are split already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_PLANNED_FOR_CPU: ContextVar[bool] = ContextVar("planned_for_cpu", default=False)


@contextmanager
def plan_for_cpu(cpu: bool) -> Iterator[None]:
    """Let attention on the meta device be computed as on a CPU inside the block, or as on an accelerator."""
    before = _PLANNED_FOR_CPU.set(cpu)
    try:
        yield
    finally:
        _PLANNED_FOR_CPU.reset(before)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute ``softmax(q k^T / sqrt(C)) v`` ``[B, heads, N, C]`` by the fastest way on the device.

    PyTorch's fused kernel everywhere but for bfloat16 on a CPU: there, forward and backward through two matrix products
    and a softmax take half the time of the fused kernel at 64 to 256 tokens (measured with torch 2.11, AVX512-bf16).

    Args:
        q: Queries ``[B, heads, N, C]``.
        k: Keys ``[B, heads, M, C]``.
        v: Values ``[B, heads, M, C]``.
        mask: Broadcastable to ``[B, heads, N, M]``, True where a query may see a key; each query must see one.
    """
    on_cpu = q.device.type == "cpu" or (q.is_meta and _PLANNED_FOR_CPU.get())
    if not on_cpu or q.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # [B, heads, N, M]
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(dim=-1) @ v


class Heads(nn.Module):
    """The layers of multi-head attention; q, k and v are layers of their own, so that LoRA can adapt each of them.

    Raises:
        ValueError: if ``width`` is no multiple of ``heads``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is no multiple of heads {heads}; change one of them.")
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        """Convert ``[B, N, C]`` to ``[B, heads, N, C/heads]``."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
