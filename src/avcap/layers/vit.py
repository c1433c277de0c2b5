"""The pre-norm transformer block of a vision transformer (Dosovitskiy et al., ICLR 2021), with separate q, k and v."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avcap.layers.attention import Heads, attention


class SelfAttention(Heads):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__(width, heads)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Transform tokens ``[B, N, C]`` to the same shape; ``mask`` ``[B, N]`` is True where a token may be attended to."""
        q, k, v = (self._split(layer(x)) for layer in (self.q_proj, self.k_proj, self.v_proj))  # [B, heads, N, C/heads]
        attended = attention(q, k, v, None if mask is None else mask[:, None, None, :])
        return self.dropout(self.proj(attended.transpose(1, 2).flatten(2)))  # [B, N, C]


class MLP(nn.Module):
    """Two linear layers with a GELU (the exact one) between them."""

    def __init__(self, width: int, hidden: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``[..., C]`` to the same shape."""
        return self.dropout(self.fc2(self.dropout(F.gelu(self.fc1(x)))))


class DropPath(nn.Module):
    """Stochastic depth (Huang et al., ECCV 2016): in training, drops a residual branch for whole clips.

    Args:
        probability: Chance that a clip's branch is dropped; the kept ones are divided by ``1 - probability``.

    Raises:
        ValueError: if ``probability`` is not in [0, 1).
    """

    def __init__(self, probability: float = 0.0) -> None:
        super().__init__()
        if not 0.0 <= probability < 1.0:
            raise ValueError(f"drop_path is {probability}; choose a value from 0 up to, but not including, 1.")
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``[B, ...]`` to the same shape."""
        if not self.training or self.probability == 0.0:
            return x
        keep = 1.0 - self.probability
        kept = torch.empty(x.shape[0], *[1] * (x.ndim - 1), dtype=x.dtype, device=x.device).bernoulli_(keep)
        return x * (kept / keep)


class Block(nn.Module):
    """``x = x + attention(norm1(x)); x = x + mlp(norm2(x))``.

    Args:
        dropout: Dropout after the attention and in the MLP.
        drop_path: Stochastic depth of both branches.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = SelfAttention(width, heads, dropout=dropout)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = MLP(width, int(width * mlp_ratio), dropout=dropout)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Transform tokens ``[B, N, C]`` to the same shape; ``mask`` ``[B, N]`` is True where a token may be attended to."""
        x = x + self.drop_path(self.attn(self.norm1(x), mask))
        return x + self.drop_path(self.mlp(self.norm2(x)))


@dataclass(frozen=True)
class ViTSize:
    """The size of a vision transformer.

    Args:
        width: Channels of the tokens.
        depth: Transformer blocks.
        heads: Attention heads.
        mlp_ratio: Hidden channels of the MLPs, as a multiple of ``width``.
        dropout: Dropout after the attention and in the MLP.
        drop_path: Stochastic depth of the last block; it grows linearly from zero at the first.
    """

    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    drop_path: float = 0.0

    def blocks(self, eps: float = 1e-6) -> nn.ModuleList:
        """Build the blocks with random weights; ``eps`` is that of the LayerNorms.

        Raises:
            ValueError: if ``depth`` is negative or ``width`` no multiple of ``heads``.
        """
        if self.depth < 0:
            raise ValueError(f"size.depth is {self.depth}; choose 0 or more blocks.")
        return nn.ModuleList(
            Block(
                self.width,
                self.heads,
                mlp_ratio=self.mlp_ratio,
                dropout=self.dropout,
                drop_path=self.drop_path * i / max(self.depth - 1, 1),
                eps=eps,
            )
            for i in range(self.depth)
        )


def init_vit(module: nn.Module) -> None:
    """Initialise as vision transformers usually are: linear weights normal with deviation 0.02, cut at 2, biases zero."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02)
            nn.init.zeros_(part.bias)
