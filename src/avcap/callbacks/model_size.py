"""Lightning's table of a model's parts, with the memory that its weights really take."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelSummary, RichModelSummary
from lightning.pytorch.callbacks.progress.rich_progress import _RICH_AVAILABLE

_Summary: Any = RichModelSummary if _RICH_AVAILABLE else ModelSummary


class SummariseModel(_Summary):
    """Print the table before a training; Lightning's own takes 4 bytes for every weight of a run in mixed precision."""

    _megabytes = 0.0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the bytes of the weights, then print."""
        self._megabytes = sum(weight.numel() * weight.element_size() for weight in pl_module.parameters()) / 1e6
        super().on_fit_start(trainer, pl_module)

    def summarize(self, data: Any, total: int, trained: int, _megabytes: float, *more: Any, **settings: Any) -> None:
        """Print the table, with the counted size in the place of Lightning's."""
        super().summarize(data, total, trained, self._megabytes, *more, **settings)
