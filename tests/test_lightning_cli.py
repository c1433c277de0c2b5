"""What the verbs of Lightning look like here."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks.progress.progress_bar import get_standard_metrics
from lightning.pytorch.loggers import TensorBoardLogger

from avcap.cli import main
from avcap.lightning_cli import ProgressWithoutVersion

ROOT = Path(__file__).resolve().parents[1]


def test_the_progress_bar_shows_no_version_of_a_logger(tmp_path: Path):
    trainer = Trainer(logger=TensorBoardLogger(tmp_path, name="", version="tensorboard"), accelerator="cpu")
    assert "v_num" in get_standard_metrics(trainer)
    assert "v_num" not in ProgressWithoutVersion().get_metrics(trainer, LightningModule())


def test_released_weights_may_be_named_several_times(capsys):
    with pytest.raises(SystemExit):
        main(
            [
                "test",
                "--config",
                str(ROOT / "configs/avcap.yaml"),
                "--weights",
                "a.pth",
                "--weights=b.pth",
                "--print_config",
            ]
        )
    assert yaml.safe_load(capsys.readouterr().out)["weights"] == ["a.pth", "b.pth"]
