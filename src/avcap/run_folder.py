"""The folder of a run: what a start finds there, and what it may do with it."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from avcap.callbacks.checkpoint_files import BEST, LAST, find_last, read_progress
from avcap.callbacks.save_best import mend_best
from avcap.callbacks.save_last import SaveLast
from avcap.mappings import read_yaml

log = logging.getLogger(__name__)

CONFIG = "config.yaml"
RESULTS = ("checkpoints/*.ckpt", "results.json", "predictions.jsonl", "captions_*.jsonl")  # what would be lost
WRITTEN = (
    *(CONFIG, "checkpoints", "tensorboard", "csv", "maps", "figures", "captions_*"),
    *("results.json", "predictions.jsonl", "speed.json"),
)
FREE = ("shards", "num_workers", "batch_size", "eval_batch_size", "corruptions", "predict_split", "metrics")
"""Settings of a model and its data that may change in a run; the order of the clips is compared on its own."""


class RunFolder:
    """The folder of a run, before a start.

    Args:
        path: ``trainer.default_root_dir``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"

    def checkpoint(self, given: str) -> str:
        """Return the path of a checkpoint; ``last`` and ``best`` are those of the folder.

        Raises:
            FileNotFoundError: if there is none.
        """
        if given == "last" and (found := find_last(self.checkpoints)):
            return str(found)
        if given == "best" and (self.checkpoints / BEST).is_file():
            return str(self.checkpoints / BEST)
        if given in ("last", "best"):
            raise FileNotFoundError(f"{self.checkpoints} holds no {given}.ckpt; give its path by --ckpt_path.")
        return given

    def start_of_fit(self, given: str | None, config: Mapping[str, Any], *, overwrite: bool) -> str | None:
        """Return the checkpoint that a training begins with; None for a new one.

        Args:
            given: ``--ckpt_path``.
            config: The config of this start.
            overwrite: Whether the folder may be cleared.

        Raises:
            ValueError: if the folder holds another run, or this config is of another run.
        """
        if given == "last":
            if overwrite:
                raise ValueError("--ckpt_path last goes on with a run and --overwrite ends it; give one of them.")
            return self._last(config)
        if given is not None:
            given = self.checkpoint(given)
            mine = Path(given).parent.resolve() == self.checkpoints.resolve()
            if mine and overwrite:
                raise ValueError(f"{given} lies in the folder that --overwrite sets aside; give another folder.")
            if mine:
                return given
        if not overwrite and (found := self.result()):
            raise ValueError(
                f"{self.path} holds a run ({found.relative_to(self.path)}). Go on with it by --ckpt_path last, give another "
                "folder by --trainer.default_root_dir, or set its files aside by --overwrite."
            )
        return given

    def is_finished(self, checkpoint: str, config: Mapping[str, Any]) -> bool:
        """Return whether a checkpoint is of the end of its training, and the config asks for no more."""
        states = read_progress(Path(checkpoint))["callbacks"] or {}
        reached = states.get(SaveLast.__name__, {}).get("finished")
        if not reached:
            return False
        trainer = config["trainer"]
        steps = trainer.get("max_steps", -1)
        epochs = trainer.get("max_epochs")
        if epochs is None:
            epochs = 1000 if steps == -1 else -1  # as Lightning does
        return _limit(epochs) <= _limit(reached["max_epochs"]) and _limit(steps) <= _limit(reached["max_steps"])

    def result(self) -> Path | None:
        """Return the first file that a new run would damage."""
        return next((path for pattern in RESULTS for path in sorted(self.path.glob(pattern))), None)

    def set_aside(self) -> None:
        """Move the files of the run that is there into a folder ``old-<n>`` in it."""
        found = [path for pattern in WRITTEN for path in sorted(self.path.glob(pattern))]
        if not found:
            return
        aside = next(path for number in range(1, 10**6) if not (path := self.path / f"old-{number}").exists())
        aside.mkdir()
        for path in found:
            path.rename(aside / path.name)
        log.warning("The run that was in %s is now in %s.", self.path, aside)

    def _last(self, config: Mapping[str, Any]) -> str | None:
        found = find_last(self.checkpoints)
        if found is None:
            if left := self.result():
                raise ValueError(
                    f"{self.path} holds a run ({left.relative_to(self.path)}), but no {LAST} to go on from. Begin with "
                    "another checkpoint by --ckpt_path, give another folder by --trainer.default_root_dir, or set its files "
                    "aside by --overwrite."
                )
            return None
        file = self.path / CONFIG
        if file.is_file() and (changed := list(differing(read_yaml(file), config))):
            raise ValueError(
                f"{self.path} holds a run of another config: {'; '.join(changed[:5])}. Restore these settings to go on, or "
                f"begin a run in another folder by --trainer.default_root_dir (with --ckpt_path {found} from its weights)."
            )
        return str(found)

    def mend(self, last: str) -> None:
        """Write what a kill has kept from being written."""
        if Path(last).parent.resolve() == self.checkpoints.resolve() and Path(last).name != BEST:
            mend_best(Path(last))


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings of model and data that differ between two configs and decide what is trained.

    Args:
        old: A config; a setting that only one of the two has is passed over, as versions may differ.
        new: Another one.
    """
    for part in ("model", "data"):
        yield from _differing(old.get(part), new.get(part), part)


def _differing(old: Any, new: Any, name: str) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() & new.keys() - set(FREE)):
            yield from _differing(old[key], new[key], f"{name}.{key}")
    elif old != new:
        yield f"{name} was {_short(old)} and is {_short(new)}"


def _short(value: Any) -> str:
    text = str(value.get("class_path", value) if isinstance(value, Mapping) else value)
    return text if len(text) < 60 else f"{text[:57]}..."


def _limit(number: int) -> float:
    return math.inf if number < 0 else number
