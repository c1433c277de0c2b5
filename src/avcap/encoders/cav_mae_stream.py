"""Base of the audio and the visual encoder of CAV-MAE."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from avcap.layers.attention_mask import attention_mask
from avcap.layers.freeze import Freezable
from avcap.layers.lora import LoRA, add_lora
from avcap.layers.vit import ViTSize, init_vit

Positions = Literal["learned", "fixed"]
EPS = 1e-5  # LayerNorm epsilon of the official code
PUBLISHED = ViTSize(depth=11)


class CAVMAEStream(Freezable):
    """Positions, stream vector and transformer blocks of one stream; a subclass brings the patches.

    Args:
        size: Size of the transformer of this stream; depth 0 hands on the embedded patches.
        patches: Makes the patches; ``patch_embed`` from then on.
        positions: Start of the positions ``[1, places, C]``.
        learned: Whether the positions are trained.
    """

    def __init__(
        self,
        size: ViTSize,
        *,
        patches: nn.Module,
        positions: Tensor,
        learned: bool,
    ) -> None:
        super().__init__()
        self.width = size.width
        self.pos_embed = nn.Parameter(positions, requires_grad=learned)
        self.modality = nn.Parameter(torch.empty(1, 1, size.width))
        self.patch_embed = patches
        self.blocks = size.blocks(eps=EPS)
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
        """Return a context without graph if nothing of this encoder is trained."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and not self._no_grad)

    def transform(self, tokens: Tensor, positions: Tensor, real: Tensor | None) -> Tensor:
        """Add positions and the stream vector, then run the blocks.

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
