"""AVCap's encoder as the official code computes it, in plain functions, to have the inputs of the captioner case."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-5


def joint_tokens(state: dict[str, Tensor], audio: Tensor, visual: Tensor, *, heads: int, depth: int) -> Tensor:
    """fbank ``[B, T, F]`` and normalised frame ``[B, 3, H, W]`` -> joint tokens ``[B, Na + Nv, C]`` (golden facts 1 to 4)."""

    def get(name: str) -> Tensor:
        return state[f"av_encoder.{name}"]

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], get(f"{name}.weight"), get(f"{name}.bias"), EPS)

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, get(f"{name}.weight"), get(f"{name}.bias"))

    def block(x: Tensor, name: str) -> Tensor:
        q, k, v = (
            linear(norm(x, f"{name}.norm1"), f"{name}.attn.qkv").unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        )
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + linear(mixed, f"{name}.attn.proj")
        return x + linear(F.gelu(linear(norm(x, f"{name}.norm2"), f"{name}.mlp.fc1")), f"{name}.mlp.fc2")

    def embed(x: Tensor, stream: str) -> Tensor:
        kernel = get(f"patch_embed_{stream}.proj.weight")
        x = F.conv2d(x, kernel, get(f"patch_embed_{stream}.proj.bias"), stride=16).flatten(2).transpose(1, 2)
        x = x + get(f"pos_embed_{stream}") + get(f"modality_{stream}")
        for i in range(depth):
            x = block(x, f"blocks_{stream}.{i}")
        return x

    x = torch.cat([embed(audio.transpose(1, 2)[:, None], "a"), embed(visual, "v")], dim=1)
    for i in range(12 - depth):
        x = block(x, f"blocks_u.{i}")
    return norm(x, "norm")
