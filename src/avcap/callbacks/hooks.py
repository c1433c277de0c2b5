"""Shared code of the callbacks: the end of a batch, and access to the trainer and the captioner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple, Protocol

from lightning.pytorch import LightningModule, Trainer

from avcap.decoders.base import Decoder
from avcap.encoders.base import Encoder
from avcap.fusion.base import Fusion
from avcap.types import Batch, FusionOutput


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


class CaptionerParts(Protocol):
    """The attributes of a captioner that callbacks read, named as in :class:`avcap.systems.Captioner`."""

    @property
    def audio_encoder(self) -> Encoder | None:
        """The encoder of the sound; None: video only."""

    @property
    def visual_encoder(self) -> Encoder | None:
        """The encoder of the frames; None: audio only."""

    @property
    def fusion(self) -> Fusion:
        """Tokens of both streams -> fused tokens."""

    @property
    def decoder(self) -> Decoder:
        """Fused tokens -> captions."""

    def fuse(self, batch: Batch) -> FusionOutput:
        """Fuse the tokens of both streams of a batch."""


def data_of(trainer: Trainer) -> Any:
    """Return the data module of a run; None where the trainer was given loaders."""
    return getattr(trainer, "datamodule", None)


def in_order(trainer: Trainer, stage: str, rows: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of clips in the order of the data; by id where the data module does not tell it.

    Args:
        trainer: The trainer.
        stage: test or predict.
        rows: Clip id -> row.
    """
    data = data_of(trainer)
    ids = data.clip_ids(stage) if hasattr(data, "clip_ids") else sorted(rows)
    return [rows[clip] for clip in ids if clip in rows]
