"""The speed of a training."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from avcap.types import Batch


class MeasureSpeed(Callback):
    """After the training: ``speed.json`` in the folder of the run, with the clips of all processes and the seconds since the start.

    Loading counts, validation does not. A run that was taken up again tells of the last start alone.
    """

    def __init__(self) -> None:
        self._clips, self._seconds, self._mark = 0, 0.0, 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._mark = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Count the clips and the seconds."""
        now = time.perf_counter()
        self._clips += len(batch["id"]) * trainer.world_size
        self._seconds += now - self._mark
        self._mark = now

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restart the clock after a validation inside an epoch."""
        self._mark = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file, on the first process."""
        if trainer.is_global_zero and self._clips:
            facts = {"clips": self._clips, "seconds": self._seconds, "clips_per_second": self._clips / self._seconds}
            Path(trainer.default_root_dir, "speed.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")
