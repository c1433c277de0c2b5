"""What the audio and the visual half of CAV-MAE have in common."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from avcap.layers.attention_mask import attention_mask
from avcap.layers.freeze import Freezable
from avcap.layers.lora import LoRA, add_lora
from avcap.layers.vit import Block, init_vit

Positions = Literal["learned", "fixed"]
EPS = 1e-5  # LayerNorm epsilon of the official code


class CAVMAEStream(Freezable):
    """Positions, modality vector and transformer blocks of one stream; a subclass brings the patches.

    Args:
        width: Channels.
        depth: Transformer blocks of this stream; 0 hands on the embedded patches.
        heads: Attention heads.
        mlp_ratio: Hidden channels of the MLPs, as a multiple of ``width``.
        drop_path: Stochastic depth of the last block; it grows linearly from zero at the first.
        patches: Makes the patches; ``patch_embed`` from then on.
        positions: Start of the positions ``[1, places, C]``.
        learned: Whether the positions are trained.
    """

    def __init__(
        self,
        width: int,
        *,
        depth: int,
        heads: int,
        mlp_ratio: float,
        drop_path: float,
        patches: nn.Module,
        positions: Tensor,
        learned: bool,
    ) -> None:
        super().__init__()
        if depth < 0:
            raise ValueError(f"depth is {depth}; choose 0 or more blocks.")
        self.width = width
        self.pos_embed = nn.Parameter(positions, requires_grad=learned)
        self.modality = nn.Parameter(torch.empty(1, 1, width))
        self.patch_embed = patches
        self.blocks = nn.ModuleList(
            Block(width, heads, mlp_ratio=mlp_ratio, drop_path=drop_path * i / max(depth - 1, 1), eps=EPS)
            for i in range(depth)
        )
        init_vit(self)
        nn.init.normal_(self.modality, std=0.02)
        self._no_grad = False

    def restrict(self, *, frozen: bool, lora: LoRA | None) -> None:
        """Freeze everything, or everything but new adapters; called once all layers are made."""
        if lora is not None:
            add_lora(self, lora)
        self._no_grad = frozen and lora is None
        if frozen or lora is not None:
            self.freeze()

    def grad_mode(self) -> torch.set_grad_enabled:
        """No graph where nothing of this encoder is trained."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and not self._no_grad)

    def transform(self, tokens: Tensor, positions: Tensor, real: Tensor | None) -> Tensor:
        """Add positions and the modality vector, then run the blocks.

        Args:
            tokens: Embedded patches ``[B, N, C]``.
            positions: ``[1, N, C]``.
            real: ``[B, N]`` bool, True where attention may look; None: everywhere.

        Returns:
            ``[B, N, C]``.
        """
        tokens = tokens + (positions + self.modality)
        mask = attention_mask(real)
        for block in self.blocks:
            tokens = block(tokens, mask)
        return tokens
