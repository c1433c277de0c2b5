"""A callback that writes down what a training run does, step by step, for the comparison with another run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class LogSteps(Callback):
    """Append a JSON line for each training step, validation batch and validation; a file a process.

    Args:
        folder: Where the files are, ``<rank>.jsonl``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the ids and the loss of the step."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        self._append(trainer, kind="train", id=batch["id"], value=loss.item())

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Write the ids."""
        self._append(trainer, kind="val", id=batch["id"], value=None)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the scores."""
        scores = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        self._append(trainer, kind="scores", id=None, value=dict(sorted(scores.items())))

    def _append(self, trainer: Trainer, **line: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        line = {"epoch": trainer.current_epoch, "step": trainer.global_step, **line}
        with (self.folder / f"{trainer.global_rank}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")  # one write: a kill leaves the whole line or nothing
