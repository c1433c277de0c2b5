"""One cell of the matrix: a training and a test of one config with one seed, in its own folder."""

from __future__ import annotations

import json
from pathlib import Path

from avcap.study.graph import Step
from avcap.study.runner import Runner

RESULTS, LOG = "results.json", "log.txt"


def cell_step(base: Path, overlay: Path, out: Path, *, seed: int) -> Step:
    """Return the step that fits from the last checkpoint, then tests the best one.

    Args:
        base: The config of the axis.
        overlay: The config of the variant, laid over it.
        out: The folder of the cell; emptied if it holds the run of other configs or data.
        seed: Seed of weights, dropout, order of the clips and choice of captions.
    """
    given = (
        *("--config", str(base), "--config", str(overlay)),
        *("--seed_everything", str(seed), "--data.init_args.seed", str(seed)),
        *("--trainer.default_root_dir", str(out), "--trainer.enable_progress_bar", "false"),
    )
    fit = ("avcap", "fit", *given, "--trainer.callbacks+=avcap.callbacks.MeasureSpeed", "--ckpt_path", "last")
    test = ("avcap", "test", *given, "--ckpt_path", str(out / "checkpoints/best.ckpt"))
    return CellStep(out / RESULTS, (fit, test), configs=(base, overlay), clears=(out,), log=out / LOG)


class CellStep(Step):
    """A step whose folder is its own."""

    def is_made(self) -> bool:
        """Return whether the cell has results, of its configs and data as they are now."""
        return self.record.is_file() and super().is_made()

    def make(self, runner: Runner) -> None:
        """Run the cell.

        Raises:
            OSError: if a command fails.
            ValueError: if the folder holds something else, or a config is no YAML mapping.
        """
        folder = self.makes.parent
        found = [path.name for path in folder.iterdir() if path != self.lock] if folder.is_dir() else []
        if found and not self.record.is_file():
            raise ValueError(
                f"{folder} holds {found[0]} and no {self.record.name}, so it is no cell; name another folder."
            )
        super().make(runner)


class LinkStep(Step):
    """A cell that is the same run as another: a link to its folder."""

    @property
    def source(self) -> Path:
        """The folder that is linked to."""
        return self.needs[0].parent

    def is_made(self) -> bool:
        """Return whether the link exists and leads to results."""
        link = self.makes.parent
        return link.is_symlink() and link.resolve() == self.source.resolve() and self.makes.is_file()

    def keep(self) -> None:
        """Do nothing: a link needs no record."""

    def make(self, runner: Runner) -> None:
        """Create the link.

        Raises:
            FileExistsError: if another folder is in the place of the link.
        """
        link = self.makes.parent
        if link.exists() and not link.is_symlink():
            raise FileExistsError(f"{link} is no link to {self.source}; delete it.")
        link.unlink(missing_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path("../..", *self.source.parts[-3:]))


def speed(folder: Path) -> float | None:
    """Return the training clips a second of a cell, of its last start; None before the training is through."""
    path = folder / "speed.json"
    return json.loads(path.read_text(encoding="utf-8"))["clips_per_second"] if path.is_file() else None


def score_of(folder: Path, metric: str) -> float | None:
    """Return a score of a cell; None where there is none."""
    path = folder / RESULTS
    return json.loads(path.read_text(encoding="utf-8"))["scores"].get(metric) if path.is_file() else None
