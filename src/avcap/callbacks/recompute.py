"""Less memory for activations: the blocks of encoders are computed a second time in the backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.distributed._composable import checkpoint

from avcap.layers.blocks import transformer_blocks


class RecomputeBlocks(Callback):
    """Keep only what goes into the transformer blocks of some parts, and compute the rest again in the backward pass.

    Results and names of weights stay as they are; a training step takes about a third longer in these parts. A language model
    has its own setting, ``gradient_checkpointing`` of the decoder.

    Args:
        parts: Names of the parts.
    """

    def __init__(self, parts: Sequence[str] = ("audio_encoder", "visual_encoder")) -> None:
        self.parts = tuple(parts)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Mark the blocks before the training."""
        if stage == "fit":
            self.mark(pl_module)

    def mark(self, system: Any) -> None:
        """Mark the blocks of ``system``.

        Raises:
            ValueError: if it has no such part, or none of the parts has blocks that learn something.
        """
        if unknown := [name for name in self.parts if name not in getattr(system, "parts", ())]:
            raise ValueError(
                f"RecomputeBlocks names {', '.join(unknown)}, but the parts are {', '.join(system.parts)}."
            )
        parts: list[nn.Module | None] = [getattr(system, name) for name in self.parts]
        blocks = [block for part in parts if part is not None for block in transformer_blocks(part) if _learns(block)]
        if not blocks:
            raise ValueError(
                f"RecomputeBlocks finds no blocks that learn something in {', '.join(self.parts)}; leave it out."
            )
        for block in blocks:
            checkpoint(block)


def _learns(block: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in block.parameters())
