"""Callbacks that a config names by their dotted path: what a run sees, and a pause in which it can be stopped."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class LogIds(Callback):
    """Append the ids of every training and validation batch to a file, and rest after each.

    Args:
        path: The file.
        rest: Seconds after each batch.
    """

    def __init__(self, path: Path, rest: float = 0.0) -> None:
        self.path, self.rest = Path(path), rest

    def _write(self, kind: str, trainer: Trainer, batch: dict[str, Any]) -> None:
        line = {"kind": kind, "epoch": trainer.current_epoch, "step": trainer.global_step, "id": batch["id"]}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        time.sleep(self.rest)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._write("train", trainer, batch)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._write("val", trainer, batch)
