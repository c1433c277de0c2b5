"""Write the captions of `avcap predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from avcap.callbacks.hooks import EvaluatedBatch, batch_end, data_of, in_order
from avcap.callbacks.keep_captions import caption_rows_of
from avcap.metrics.predictions import write_predictions


class WritePredictions(Callback):
    """Write ``captions_<split>.jsonl``, a line ``{"id": ..., "caption": ...}`` a clip, each clip once over all processes.

    The lines are in the order of the split.

    Args:
        path: The file; None for ``captions_<split>.jsonl`` in ``trainer.default_root_dir``.
        nbest: Captions a clip, at most the number of beams; None: one. Lines then have ``captions``, the best first, and
            their ``log_probs`` (the mean of the tokens) as well, and ``avcap score`` scores the best of them, too.

    Raises:
        ValueError: If ``nbest`` is below 2, or the system makes one caption only.
    """

    def __init__(self, path: Path | None = None, nbest: int | None = None) -> None:
        if nbest is not None and nbest < 2:
            raise ValueError(f"predictions.nbest is {nbest}; give 2 or more, or leave it out for one caption a clip.")
        self.path, self.nbest = path, nbest
        self._rows: dict[str, dict[str, Any]] = {}

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Request several captions per clip if configured."""
        self._rows = {}
        if hasattr(pl_module, "nbest"):
            cast(Any, pl_module).nbest = self.nbest
        elif self.nbest is not None:
            raise ValueError(f"{type(pl_module).__name__} makes one caption a clip; leave predictions.nbest out.")

    @batch_end
    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, done: EvaluatedBatch) -> None:
        """Keep the captions of a batch."""
        self._rows |= {row["id"]: row for row in caption_rows_of(done)}

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather and write, on the first process."""
        parts = [self._rows]
        if trainer.world_size > 1:
            parts = [{} for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(parts, self._rows)
        if not trainer.is_global_zero:
            return
        rows = {clip: row for part in parts for clip, row in part.items()}
        split = getattr(getattr(data_of(trainer), "clips", None), "predict_split", "test")
        path = self.path or Path(trainer.default_root_dir) / f"captions_{split}.jsonl"
        write_predictions(path, in_order(trainer, "predict", rows))
