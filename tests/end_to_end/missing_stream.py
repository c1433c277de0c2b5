"""A data module in which the batches of one process have no pictures: what broken videos do to a batch by bad luck."""

from __future__ import annotations

from typing import Any

from avcap.data import AudioCapsDataModule


class BlindRank(AudioCapsDataModule):
    """The training batches of the second process lack all pictures.

    Args:
        **settings: Those of :class:`AudioCapsDataModule`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)

    def on_before_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Drop the pictures before they reach the model."""
        if self.trainer.training and self.trainer.global_rank == 1:
            return {key: value for key, value in batch.items() if not key.startswith("frames")}
        return batch
