"""Transformer layers that two streams share, with LayerNorms of their own for a stream that comes alone (CAV-MAE)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avcap.layers.vit import MLP, Block, DropPath, SelfAttention

JOINT, AUDIO, VIDEO = range(3)  # which norms a clip goes through
STREAMS = ("joint", "audio", "video")  # their names in the state dict
EPS = 1e-5


class StreamNorm(nn.Module):
    """Three LayerNorms: for clips with both streams, with audio alone, with video alone.

    Where a batch holds clips of one kind only, that norm alone is computed. In training all three take part in the graph
    (with a gradient of zero where no clip is of the kind), so that distributed training never waits for a gradient.
    """

    def __init__(self, width: int, *, eps: float = EPS) -> None:
        super().__init__()
        self.joint = nn.LayerNorm(width, eps=eps)
        self.audio = nn.LayerNorm(width, eps=eps)
        self.video = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor, kind: int | Tensor) -> Tensor:
        """Normalise tokens ``[B, N, C]``; ``kind`` is ``JOINT``, ``AUDIO`` or ``VIDEO`` for all clips, or one for each ``[B]``."""
        norms = (self.joint, self.audio, self.video)
        if not isinstance(kind, Tensor):
            return norms[kind](x)
        scale = torch.stack([norm.weight for norm in norms])[kind].unsqueeze(1)  # [B, 1, C]
        shift = torch.stack([norm.bias for norm in norms])[kind].unsqueeze(1)  # [B, 1, C]
        return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=self.joint.eps), scale)


class JointBlock(nn.Module):
    """``x = x + attention(norm1(x)); x = x + mlp(norm2(x))`` with norms by the streams that a clip has."""

    def __init__(self, width: int, heads: int, *, mlp_ratio: float = 4.0, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = StreamNorm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = StreamNorm(width)
        self.mlp = MLP(width, int(width * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, kind: int | Tensor, mask: Tensor | None = None) -> Tensor:
        """Transform tokens ``[B, N, C]``; ``kind`` as in :class:`StreamNorm`, ``mask`` ``[B, N]`` True where attention may look."""
        x = x + self.drop_path(self.attn(self.norm1(x, kind), mask))
        return x + self.drop_path(self.mlp(self.norm2(x, kind)))


class JointLayers(nn.Module):
    """Joint blocks and the norm after them.

    Args:
        depth: Blocks; 0 leaves the norm alone.
        drop_path: Stochastic depth of every block.
        final_norm: Whether there is a norm after the blocks.
    """

    def __init__(
        self,
        width: int,
        *,
        depth: int,
        heads: int,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        final_norm: bool = True,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            JointBlock(width, heads, mlp_ratio=mlp_ratio, drop_path=drop_path) for _ in range(depth)
        )
        self.norm = StreamNorm(width) if final_norm else None

    def forward(self, x: Tensor, kind: int | Tensor, mask: Tensor | None = None) -> Tensor:
        """Transform tokens ``[B, N, C]`` to the same shape; see :class:`JointBlock`."""
        for block in self.blocks:
            x = block(x, kind, mask)
        return x if self.norm is None else self.norm(x, kind)


class SingleStreamLayers(nn.Module):
    """Joint layers for clips that all have the same single stream: plain blocks with the norms of that stream."""

    def __init__(self, width: int, *, depth: int, heads: int, mlp_ratio: float = 4.0, drop_path: float = 0.0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(width, heads, mlp_ratio=mlp_ratio, drop_path=drop_path, eps=EPS) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Transform tokens ``[B, N, C]`` to the same shape; ``mask`` ``[B, N]`` is True where attention may look."""
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)


def single_stream_name(name: str, stream: str) -> str | None:
    """Return the name in :class:`SingleStreamLayers` of a weight of :class:`JointLayers`; None for another stream's norm.

    ``name`` may have any prefix; ``stream`` is one of :data:`STREAMS`.
    """
    layer, _, leaf = name.rpartition(".")
    norm, _, kind = layer.rpartition(".")
    if kind not in STREAMS:
        return name
    return f"{norm}.{leaf}" if kind == stream else None
