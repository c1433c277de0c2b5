"""The end of a batch, as callbacks get it."""

from __future__ import annotations

import pytest
from lightning.pytorch import Callback, LightningModule

from avcap.callbacks import TokenFigure
from avcap.callbacks.hooks import EvaluatedBatch, batch_end


class Keep(Callback):
    """Keeps what it is given."""

    def __init__(self):
        self.kept = []

    @batch_end
    def on_validation_batch_end(self, trainer, pl_module, done):
        """Keep."""
        self.kept.append((trainer, pl_module, done))

    on_test_batch_end = on_validation_batch_end


def test_lightnings_arguments_become_one_record():
    keep, batch = Keep(), {"id": ["a"]}
    keep.on_validation_batch_end("trainer", "model", {"captions": ["x"]}, batch, 3)
    keep.on_test_batch_end("trainer", "model", None, batch, 4, dataloader_idx=1)
    first, second = keep.kept
    assert first == ("trainer", "model", EvaluatedBatch({"captions": ["x"]}, batch, 3))
    assert second == ("trainer", "model", EvaluatedBatch({}, batch, 4))  # a step that returns nothing


def test_a_figure_of_tokens_needs_an_alignment():
    with pytest.raises(
        TypeError, match="TokenFigure draws the tokens of Alignment, not of LightningModule; leave it out"
    ):
        TokenFigure().on_validation_end(None, LightningModule())
