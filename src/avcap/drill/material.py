"""What the drills work on: the embedded data set, small, and a small captioner."""

from __future__ import annotations

import sys
from pathlib import Path

from avcap.scenes.dataset import build_dataset
from avcap.shards.prepare import prepare

AVCAP = (sys.executable, "-m", "avcap")
CONFIG = Path(__file__).with_name("drill.yaml")


def make_clips(folder: Path, *, train: int, seconds: float = 2.0) -> Path:
    """Make the media of some clips, and return their folder."""
    build_dataset(folder, train=train, val=6, test=2, seconds=seconds, num_workers=0)
    return folder


def make_shards(folder: Path) -> Path:
    """Make a training split of 32 clips and a validation split of 6, and return the folder of the data set."""
    prepare(make_clips(folder, train=32), frames=2, size=32, num_workers=1, progress=False)
    return folder


def fit_command(data: Path, folder: Path, *more: str) -> list[str]:
    """Return the command that trains on a data set, for the folder of a round.

    Args:
        data: The data set.
        folder: Of the round: ``run`` is the run's, ``steps`` the record of its steps.
        *more: Further options.
    """
    return [
        *AVCAP,
        "fit",
        *("--config", str(CONFIG)),
        *("--data.init_args.shards", str(data / "shards")),
        *("--model.init_args.decoder.init_args.tokenizer", str(data / "tokenizer")),
        *("--trainer.default_root_dir", str(folder / "run")),
        *("--trainer.callbacks+=avcap.drill.steps.LogSteps", f"--trainer.callbacks.folder={folder / 'steps'}"),
        *("--ckpt_path", "last"),
        *more,
    ]
