"""Base of the audio and the visual encoder of CAV-MAE."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from avcap.checkpoints.loading import load_part
from avcap.layers.attention_mask import attention_mask
from avcap.layers.freeze import Freezable
from avcap.layers.vit import ViTSize, init_vit

Positions = Literal["learned", "fixed"]
EPS = 1e-5  # LayerNorm epsilon of the official code
PUBLISHED = ViTSize(depth=11)


class CAVMAEStream(Freezable):
    """Positions, stream vector and transformer blocks of one stream; a subclass brings the patches, before :class:`Encoder`.

    Args:
        size: Size of the transformer of this stream; depth 0 hands on the embedded patches.
        patches: Makes the patches; ``patch_embed`` from then on.
        positions: Start of the positions ``[1, places, C]``.
        learned: Whether the positions are trained.

    Attributes:
        part: What its weights are called in a file of several components.
    """

    part: ClassVar[str]
    pretrained: str | None

    def __init__(self, size: ViTSize, *, patches: nn.Module, positions: Tensor, learned: bool) -> None:
        super().__init__()
        self.width = size.width
        self.pos_embed = nn.Parameter(positions, requires_grad=learned)
        self.modality = nn.Parameter(torch.empty(1, 1, size.width))
        self.patch_embed = patches
        self.blocks = size.blocks(eps=EPS)
        init_vit(self)
        nn.init.normal_(self.modality, std=0.02)

    def transform(self, tokens: Tensor, positions: Tensor, real: Tensor | None) -> Tensor:
        """Add positions ``[1, N, C]`` and the stream vector to patches ``[B, N, C]``, then run the blocks.

        ``real`` ``[B, N]`` is True where attention may look; None: everywhere.
        """
        tokens = tokens + (positions + self.modality)
        mask = attention_mask(real)
        for block in self.blocks:
            tokens = block(tokens, mask)
        return tokens

    def load_pretrained(self) -> None:
        """Load the part of this stream from the file that ``pretrained`` names; see :meth:`Encoder.load_pretrained`."""
        if self.pretrained is not None:
            name = type(self).__name__
            load_part(self, self.pretrained, part=self.part, component=name, depth="size.depth", adapt=self._adapt)

    def _adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Fit the weights of a file to this encoder."""
        return state
