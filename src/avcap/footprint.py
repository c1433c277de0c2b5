"""What a computation on the meta device would take of memory."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

_PRODUCTS = {
    *(F.linear, F.conv1d, F.conv2d, F.conv3d, F.scaled_dot_product_attention),
    *(torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, torch.bmm, Tensor.bmm, torch.baddbmm, torch.einsum),
}


class Footprint(TorchDispatchMode):
    """Counts the bytes of all tensors that are made inside the block and are alive, the highest number in ``peak``.

    Args:
        model: Its weights and buffers are not counted.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen = weakref.WeakSet(t.untyped_storage() for t in (*model.parameters(), *model.buffers()))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage()) not in self._seen:
                self._seen.add(storage)
                size = storage.nbytes()
                self.now += size
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._free, size)
        return made

    def _free(self, size: int) -> None:
        self.now -= size


class _Products(TorchFunctionMode):
    """Casts what goes into a matrix product, as autocast does, and takes the fused attention, as a device would."""

    def __init__(self, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.dtype = dtype
        self._cast: dict[Tensor, Tensor] = {}  # of weights: autocast keeps them for the whole forward pass

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _PRODUCTS and self.dtype is not None:
            args, kwargs = tree_map(self._as_computed, (args, kwargs))
        if func is F.scaled_dot_product_attention:
            kwargs.pop("dropout_p", None)
            return _fused(*args, **kwargs)
        return func(*args, **kwargs)

    def _as_computed(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            return value
        if isinstance(value, nn.Parameter) and value.requires_grad:
            return self._cast.setdefault(value, value.to(self.dtype))
        return value.to(self.dtype)


def _fused(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    _dropout: float = 0.0,
    is_causal: bool = False,
    **_: Any,
) -> Tensor:
    """Attend as the fused kernels do, which keep no matrix of scores."""
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.empty(attn_mask.shape, dtype=q.dtype, device="meta")
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, is_causal, attn_mask=attn_mask)[0]


@contextmanager
def autocast_on_meta(dtype: torch.dtype | None) -> Iterator[None]:
    """Let products on the meta device have the number formats and the memory that they have under autocast (None: without it)."""
    with _Products(dtype):
        yield
