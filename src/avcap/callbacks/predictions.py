"""Write the captions of `avcap predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from avcap.types import Batch


class WritePredictions(Callback):
    """Write ``predictions.jsonl``, a line ``{"id": ..., "caption": ...}`` a clip, each clip once over all processes.

    Args:
        path: The file; None for ``predictions.jsonl`` in ``trainer.default_root_dir``.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._captions: dict[str, str] = {}

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget an earlier run."""
        self._captions = {}

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: dict[str, Any],
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the captions of a batch."""
        self._captions.update(zip(outputs["id"], outputs["captions"], strict=True))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather and write, on the first process."""
        captions = [self._captions]
        if trainer.world_size > 1:
            captions = [{} for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(captions, self._captions)
        if not trainer.is_global_zero:
            return
        path = self.path or Path(trainer.default_root_dir) / "predictions.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = {clip: caption for part in captions for clip, caption in part.items()}
        lines = [json.dumps({"id": clip, "caption": rows[clip]}, ensure_ascii=False) for clip in sorted(rows)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
