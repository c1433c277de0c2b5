"""Shared code of the callbacks: the end of a batch, and access to the trainer and the captioner."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, cast

from lightning.pytorch import LightningModule, Trainer

from avcap.models import CaptionModel
from avcap.types import Batch


class EvaluatedBatch(NamedTuple):
    """A batch that a model has just evaluated."""

    outputs: dict[str, Any]  # what the step of the model returned; empty where that is no dictionary
    batch: Batch
    number: int  # of the batch in this epoch, from 0


def batch_end(method: Callable[[Any, Trainer, LightningModule, EvaluatedBatch], None]) -> Any:
    """Turn a method ``(self, trainer, pl_module, done)`` into one of Lightning's hooks for the end of an evaluated batch.

    The hook is called as Lightning calls ``on_validation_batch_end``, ``on_test_batch_end`` and ``on_predict_batch_end``.
    """

    @wraps(method)
    def hook(
        self: Any,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,  # noqa: ARG001 (Lightning hands it over)
    ) -> None:
        method(self, trainer, pl_module, EvaluatedBatch(outputs if isinstance(outputs, dict) else {}, batch, batch_idx))

    return hook


def model_of(pl_module: LightningModule) -> CaptionModel:
    """Return the model that a captioning system trains."""
    return cast(CaptionModel, pl_module.model)


def data_of(trainer: Trainer) -> Any:
    """Return the data module of a run; None where the trainer was given loaders."""
    return getattr(trainer, "datamodule", None)
