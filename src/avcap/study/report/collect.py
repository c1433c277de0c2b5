"""Runs found on disk, grouped: seeds into cells of an experiment matrix, cells by the clips they were tested on."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from avcap.ids import id_hash
from avcap.mappings import read_yaml
from avcap.metrics.predictions import read_rows
from avcap.metrics.results import read_results
from avcap.study.protocol import Protocol, marked, protocol_of
from avcap.study.report.table import TITLES

_SEED = re.compile(r"(?:seed[-_]?)?(\d+)")


@dataclass(frozen=True)
class Run:
    """One tested run: the folder that holds ``results.json``.

    Attributes:
        folder: The folder of the run.
        axis: The axis of the run; empty for a single run.
        variant: Its value on the axis; for a single run, the name of its folder.
        seed: The name of the seed's folder without ``seed``; else ``seed_everything`` of the config, or empty.
        results: What ``results.json`` holds.
        config: What ``config.yaml`` holds; empty without one.
        rows: Lines of ``predictions.jsonl`` by clip id; empty without the file.
    """

    folder: Path
    axis: str
    variant: str
    seed: str
    results: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def protocol(self) -> Protocol:
        """Which clips were tested, how, and what chose the checkpoint."""
        return protocol_of(self.results, self.config)

    def setting(self, path: str) -> Any:
        """Return the config's value at a dotted path, or None."""
        value: Any = self.config
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value


@dataclass(frozen=True)
class CellRuns:
    """The seeds of one variant, tested on the same clips."""

    axis: str
    variant: str
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """Axis and variant."""
        return f"{self.axis}/{self.variant}" if self.axis else self.variant

    @property
    def protocols(self) -> list[Protocol]:
        """Those of its runs."""
        return [run.protocol for run in self.runs]

    @property
    def label(self) -> str:
        """Axis and variant as tables show them, with a mark if a checkpoint was selected on the test."""
        return marked(self.name, *self.protocols)

    @cached_property
    def places(self) -> tuple[Path, ...]:
        """Where its runs really are: a variant may be a link to one of another axis."""
        return tuple(run.folder.resolve() for run in self.runs)

    def scores(self, metric: str) -> np.ndarray:
        """Return the corpus score of each run that has this metric, ``[S]``."""
        return np.array([run.results["scores"][metric] for run in self.runs if metric in run.results["scores"]])

    def clip_scores(self, metric: str, ids: Sequence[str]) -> np.ndarray | None:
        """Return each clip's score averaged over the seeds, ``[N]`` in the order of ``ids``; None if some are missing."""
        try:
            by_run = [[run.rows[clip]["scores"][metric] for clip in ids] for run in self.runs]
        except KeyError:
            return None
        return np.asarray(by_run, dtype=np.float64).mean(0)


@dataclass(frozen=True)
class Group:
    """All cells that were tested on the same clips, which alone can be compared."""

    id_hash: str
    count: int
    cells: tuple[CellRuns, ...]

    @property
    def runs(self) -> list[Run]:
        """All runs of its cells."""
        return [run for cell in self.cells for run in cell.runs]

    @cached_property
    def ids(self) -> list[str]:
        """The clip ids, sorted; empty where no run has predictions."""
        return next((sorted(run.rows) for run in self.runs if run.rows), [])

    @cached_property
    def originals(self) -> dict[tuple[Path, ...], CellRuns]:
        """Where the runs of a cell really are -> the first cell that has them."""
        found: dict[tuple[Path, ...], CellRuns] = {}
        for cell in self.cells:
            found.setdefault(cell.places, cell)
        return found

    @cached_property
    def captioned(self) -> list[CellRuns]:
        """The cells whose runs all have predictions, but none twice under two names."""
        return [cell for cell in self.originals.values() if all(run.rows for run in cell.runs)]

    @cached_property
    def clip_metrics(self) -> list[str]:
        """Metrics of which every captioned cell has a score for every clip, CIDEr-D, which measures disagreement, first."""
        order = sorted(TITLES, key=lambda metric: metric != "cider_d")
        found = [m for m in order if all(cell.clip_scores(m, self.ids) is not None for cell in self.captioned)]
        return [metric for metric in found if metric not in ("bleu_1", "bleu_2", "bleu_3")] if self.captioned else []

    @property
    def axes(self) -> dict[str, list[CellRuns]]:
        """Axis -> its cells, in order."""
        axes: dict[str, list[CellRuns]] = defaultdict(list)
        for cell in self.cells:
            axes[cell.axis].append(cell)
        return dict(axes)


def find_runs(places: Iterable[Path]) -> list[Run]:
    """Read every run in or below the folders, in the order given, and by name below one folder.

    Raises:
        FileNotFoundError: If a folder has no ``results.json`` in or below it.
        ValueError: If a file is damaged, or predictions and results are of different clips.
    """
    folders: dict[Path, None] = {}
    for place in map(Path, places):
        whole = Path(os.path.abspath(place))  # noqa: PTH100 (resolve() would follow links)
        found = sorted(_folders(whole), key=_natural)
        if not found:
            raise FileNotFoundError(f"There is no results.json in or below {place}; run `avcap test` first.")
        folders |= dict.fromkeys(found)
    seeds = [folder for folder in folders if _SEED.fullmatch(folder.name)]
    axes = short_names(folder.parents[1] for folder in seeds)
    alone = short_names(folder for folder in folders if folder not in seeds)
    return [
        _read(folder, "", alone[folder])
        if folder in alone
        else _read(folder, axes[folder.parents[1]], folder.parent.name)
        for folder in folders
    ]


def group_runs(runs: Iterable[Run]) -> list[Group]:
    """Group runs by the hash of their clip ids, then by axis and variant, in their order; the largest group first."""
    tree: dict[str, dict[tuple[str, str], list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        tree[run.results["id_hash"]][run.axis, run.variant].append(run)
    groups = [
        Group(
            hashed,
            next(iter(cells.values()))[0].results["clips"],
            tuple(CellRuns(*key, tuple(members)) for key, members in cells.items()),
        )
        for hashed, cells in tree.items()
    ]
    return sorted(groups, key=lambda group: -len(group.cells))


def choose_baselines(groups: Sequence[Group], name: str | None) -> dict[tuple[str, str], CellRuns]:
    """Return the cell that each axis, by clip hash and name, is compared with.

    ``name`` is ``axis/variant``, or a variant, sought in the axis itself first; None takes the first cell of each axis. An
    axis on whose clips no cell of that name was tested has none.

    Raises:
        ValueError: If no cell has that name.
    """
    chosen = {}
    for group in groups:
        for axis, cells in group.axes.items():
            named = [cell for cell in [*cells, *group.cells] if name in (None, cell.name, cell.variant)]
            if named:  # the axis may have it under another name
                own = [cell for cell in cells if cell.places == named[0].places]
                chosen[group.id_hash, axis] = own[0] if own else named[0]
    if not chosen:
        names = ", ".join(cell.name for group in groups for cell in group.cells)
        raise ValueError(f"There is no run called {name} to compare with; there are {names}.")
    return chosen


def short_names(paths: Iterable[Path]) -> dict[Path, str]:
    """Return the last parts of each path, as many as distinguish it from the others."""
    wanted = set(paths)

    def shortest(path: Path) -> str:
        tails = (path.parts[-length:] for length in range(1, len(path.parts)))
        alone = (tail for tail in tails if sum(other.parts[-len(tail) :] == tail for other in wanted) == 1)
        return "/".join(next(alone, ())) or str(path)

    return {path: shortest(path) for path in wanted}


def _folders(place: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Find the folders of runs in or below a folder; follow links, and do not search inside a run."""
    if (place / "results.json").is_file():
        yield place
    elif place.is_dir() and (real := place.resolve()) not in above:  # a link may lead back
        for child in place.iterdir():
            yield from _folders(child, above | {real})


def _read(folder: Path, axis: str, variant: str) -> Run:
    """Read one run with the files beside its results."""
    results = read_results(folder / "results.json")
    config_file, predictions = folder / "config.yaml", folder / "predictions.jsonl"
    config = read_yaml(config_file) if config_file.exists() else {}
    rows = {row["id"]: row for row in read_rows(predictions)} if predictions.exists() else {}
    if predictions.exists() and id_hash(rows) != results["id_hash"]:
        raise ValueError(f"{predictions} and results.json beside it are of different clips; run `avcap test` again.")
    named = _SEED.fullmatch(folder.name)
    seed = named[1] if named else str(config.get("seed_everything", ""))
    return Run(folder, axis, variant, seed, results, config, rows)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a sorting key that puts frames_8 before frames_16."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", str(path))]
