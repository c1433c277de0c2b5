"""Random numbers of a step that do not depend on where the run was started."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class SeedSteps(Callback):
    """Seed torch before every training step from the run's seed, the epoch, the batch and the process.

    Dropout is then the same in a run that was stopped and taken up again. A run without ``seed_everything`` is left alone.
    """

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seed."""
        seed = os.environ.get("PL_GLOBAL_SEED")  # where Lightning keeps it
        if seed is not None:
            place = f"{seed}/{trainer.current_epoch}/{batch_idx}/{trainer.global_rank}"
            torch.manual_seed(int.from_bytes(hashlib.sha256(place.encode()).digest()[:8], "big") >> 1)
