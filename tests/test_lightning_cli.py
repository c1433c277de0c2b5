"""What the verbs of Lightning look like here."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks.progress.progress_bar import get_standard_metrics
from lightning.pytorch.loggers import TensorBoardLogger

from avcap.lightning_cli import ProgressWithoutVersion


def test_the_progress_bar_shows_no_version_of_a_logger(tmp_path: Path):
    trainer = Trainer(logger=TensorBoardLogger(tmp_path, name="", version="tensorboard"), accelerator="cpu")
    assert "v_num" in get_standard_metrics(trainer)
    assert "v_num" not in ProgressWithoutVersion().get_metrics(trainer, LightningModule())
