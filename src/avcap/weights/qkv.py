"""The attention layers of timm keep q, k and v in one; ours are apart."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

ATTENTION = ("q_proj", "k_proj", "v_proj")
_FUSED = ".attn.qkv"
_FIRST = f".attn.{ATTENTION[0]}"


def split_qkv(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Cut fused ``attn.qkv`` weights ``[3 C, C]`` and biases ``[3 C]`` in equal parts, in the order q, k, v.

    Raises:
        ValueError: if one cannot be cut in three.
    """
    out: dict[str, Tensor] = {}
    for key, tensor in state.items():
        layer, _, leaf = key.rpartition(".")
        if layer.endswith(_FUSED):
            if tensor.ndim == 0 or tensor.shape[0] % len(ATTENTION):
                raise ValueError(
                    f"{key} has the shape {list(tensor.shape)}, which is not q, k and v together; check the file."
                )
            names = (f"{layer.removesuffix('qkv')}{part}.{leaf}" for part in ATTENTION)
            out.update(zip(names, tensor.chunk(len(ATTENTION)), strict=True))
        else:
            out[key] = tensor
    return out


def join_qkv(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo :func:`split_qkv`; all three must be there."""
    out: dict[str, Tensor] = {}
    for key, tensor in state.items():
        layer, _, leaf = key.rpartition(".")
        if layer.endswith(_FIRST):
            stem = layer.removesuffix(ATTENTION[0])
            out[f"{stem}qkv.{leaf}"] = torch.cat([state[f"{stem}{part}.{leaf}"] for part in ATTENTION])
        elif layer.rpartition(".")[2] not in ATTENTION:
            out[key] = tensor
    return out
