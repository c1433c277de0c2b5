"""Learning curves, read from the ``metrics.csv`` files of a run."""

from __future__ import annotations

import csv
import json
import logging
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avcap.study.report.collect import Run

log = logging.getLogger(__name__)


class Curve(NamedTuple):
    """One scalar over the steps of a training."""

    steps: np.ndarray  # [n], rising
    values: np.ndarray  # [n]
    times: np.ndarray  # [n], seconds since the epoch


def read_curves(folder: Path) -> dict[str, Curve]:
    """Read all scalars of a run, from ``csv/version_<n>/metrics.csv`` of each of its starts: tag -> curve.

    Where a resumed training wrote a step again, the later counts; a line cut short by a kill is passed over.
    """
    files = sorted(Path(folder).glob("csv/version_*/metrics.csv"), key=lambda file: int(file.parent.name.split("_")[1]))
    if not files and (Path(folder) / "tensorboard").is_dir():
        log.warning(
            "%s has no csv/version_0/metrics.csv, so its curves are left out; train it again to draw them.", folder
        )
    points: dict[str, dict[int, tuple[float, float]]] = defaultdict(dict)
    for file in files:
        with file.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                if None in row.values():
                    continue
                step, time = int(row.pop("step")), float(row.pop("time"))
                for tag, value in row.items():
                    if value:
                        points[tag][step] = (float(value), time)
    curves = {}
    for tag, by_step in points.items():
        steps = np.array(sorted(by_step))
        values, times = np.array([by_step[step] for step in steps.tolist()]).T
        curves[tag] = Curve(steps, values, times)
    return curves


def shown(runs: Sequence[Mapping[str, Curve]]) -> list[str]:
    """Choose the curves of runs to show: CIDEr-D on the validation split, then losses, without a single part beside its sum."""
    tags = {tag for curves in runs for tag in curves}
    losses = sorted(tag for tag in tags if tag.startswith(("train/loss", "val/loss")))
    drawn = [
        tag for tag in losses if not all(_same(curves, tag, tag.split("_")[0]) for curves in runs if tag in curves)
    ]
    return [tag for tag in ("val/cider_d",) if tag in tags] + drawn


def _same(curves: Mapping[str, Curve], part: str, whole: str) -> bool:
    """Return whether a loss has a single part, which equals its sum."""
    return part != whole and whole in curves and np.array_equal(curves[part].values, curves[whole].values)


def clips_per_second(run: Run, curves: Mapping[str, Curve]) -> float | None:
    """Return the training speed of a run: that of ``speed.json``, else the median over the logged steps; None: not known.

    Raises:
        ValueError: If ``speed.json`` is damaged.
    """
    measured = run.folder / "speed.json"
    if measured.is_file():
        try:
            return float(json.loads(measured.read_text(encoding="utf-8"))["clips_per_second"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{measured} is damaged; delete it.") from error
    factors = [run.setting(path) for path in ("data.init_args.batch_size", "trainer.devices", "trainer.num_nodes")]
    curve = curves.get("train/loss")
    if curve is None or len(curve.steps) < 3 or not all(isinstance(factor, int) for factor in factors):
        return None
    seconds = np.diff(curve.times)
    steps = np.diff(curve.steps)[seconds > 0]
    clips = math.prod(factors) * (run.setting("trainer.accumulate_grad_batches") or 1)
    return float(np.median(steps / seconds[seconds > 0])) * clips if len(steps) else None
