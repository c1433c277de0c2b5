"""What a run writes and shows beside its checkpoints: its config, its metrics, its progress."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import _RICH_AVAILABLE
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger

from avcap.atomic import replacing


class SaveRunConfig(SaveConfigCallback):
    """Writes ``config.yaml`` into the folder of the run when training starts; other verbs leave it alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "save_to_log_dir": False})

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write before the first batch."""
        if stage == "fit":
            super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save the config, on the first process only."""
        path = Path(trainer.default_root_dir) / self.config_filename
        with replacing(path) as fresh:  # a kill leaves a whole file, or none
            self.parser.save(self.config, str(fresh), skip_none=False, overwrite=True)


class TimedCSVLogger(CSVLogger):
    """Writes each row of metrics with its ``time``, in seconds since the epoch: what `avcap report` draws curves from."""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Keep a row; rows are written every hundred steps and after every validation."""
        super().log_metrics({**metrics, "time": time.time()}, step)

    def log_hyperparams(self, params: Any = None) -> None:
        """Leave the settings to ``config.yaml``."""


if _RICH_AVAILABLE:
    _Bar: Any = RichProgressBar
else:
    _Bar = TQDMProgressBar


class ProgressWithoutVersion(_Bar):
    """Lightning's progress bar without the version of the loggers."""

    def get_metrics(self, *args: Any) -> dict[str, Any]:
        """Return the metrics to show."""
        return {name: value for name, value in super().get_metrics(*args).items() if name != "v_num"}
