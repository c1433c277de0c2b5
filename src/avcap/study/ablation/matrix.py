"""The ablation matrix: a table of axes and their values -> the runs that fill it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from avcap.mappings import read_yaml
from avcap.study.ablation.cell import RESULTS, LinkStep, cell_step
from avcap.study.graph import Step

TABLE = Path("configs/ablation/matrix.yaml")
OVERLAYS = "configs"  # folder below the runs: what each value sets, as a config


@dataclass(frozen=True)
class Axis:
    """One axis of variation.

    Attributes:
        base: The config that the values are laid over.
        values: Name -> settings by their paths, or ``{config: FILE}``.
        command: What makes a run of several trainings, with ``{value}``, ``{config}``, ``{seed}`` and ``{out}``; it must leave
            ``results.json`` in ``{out}``. None: fit and test.
    """

    base: Path
    values: Mapping[str, Mapping[str, Any]]
    command: str | None = None


@dataclass(frozen=True)
class Matrix:
    """A selection of axes, with seeds, folder and data.

    Attributes:
        axes: All that can be run, by name.
        asked: Those that are run if none is named.
        runs: Folder of the runs, ``<axis>/<value>/<seed>``.
        data: A file that is there when the data are.
        seeds: Of each value.
        same: Cell -> the cell that is the same run, ``<axis>/<value>``.
    """

    axes: Mapping[str, Axis]
    asked: tuple[str, ...]
    runs: Path
    data: Path
    seeds: tuple[int, ...]
    same: Mapping[str, str] = field(default_factory=dict)

    def cells(self, wanted: Sequence[str] = ()) -> list[str]:
        """Return ``<axis>/<value>`` of all that is wanted: axes, or single cells; by default all that the matrix asks for.

        Raises:
            ValueError: if there is no such axis or value.
        """
        found: dict[str, None] = {}
        for name in wanted or self.asked:
            axis, _, value = name.partition("/")
            _one_of(axis, self.axes, "The matrix has no axis")
            values = self.axes[axis].values
            for each in [value] if value else values:
                found[f"{axis}/{_one_of(each, values, f'The axis {axis} has no value')}"] = None
        return list(found)

    def steps(self, wanted: Sequence[str] = ()) -> list[Step]:
        """Return the runs of all seeds of a cell, then those of the next; a run that another is linked to comes before it.

        ``wanted`` are axes or single cells, by default all that is asked for. Writes the config of each value, below the runs.
        """
        steps: dict[Path, Step] = {}
        for name in self.cells(wanted):
            for cell in (self.same.get(name, name), name):
                for seed in self.seeds:
                    results = self.runs / cell / str(seed) / RESULTS
                    if results not in steps:
                        steps[results] = self._step(cell, seed, results)
        return list(steps.values())

    def _step(self, name: str, seed: int, results: Path) -> Step:
        if name in self.same:
            return LinkStep(results, (), (self.runs / self.same[name] / str(seed) / RESULTS,))
        axis_name, value = name.split("/")
        axis, out = self.axes[axis_name], results.parent
        configs = (axis.base, self.overlay(name))
        if axis.command is not None:
            facts = {"value": value, "config": configs[1], "seed": seed, "out": out}
            return Step(results, (tuple(word.format(**facts) for word in axis.command.split()),), configs=configs)
        return cell_step(*configs, out, seed=seed)

    def overlay(self, name: str) -> Path:
        """Return the config of a cell, to be laid over the base of its axis; written if it is not there as it should be."""
        axis, value = name.split("/")
        settings = self.axes[axis].values[value]
        if "config" in settings:
            return Path(settings["config"])
        path = self.runs / OVERLAYS / f"{name}.yaml"
        text = yaml.safe_dump(nested(settings), sort_keys=False)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return path


def read_matrix(name: str, table: Path = TABLE) -> Matrix:
    """Read one matrix of a table.

    Raises:
        FileNotFoundError: if there is no table.
        ValueError: if the table has no such matrix, or names what it does not have.
    """
    whole = read_yaml(table)
    try:
        return _matrix(name, table, whole)
    except ValueError as error:
        if str(table) in str(error):
            raise
        raise ValueError(f"{table}: {error}") from error


def _matrix(name: str, table: Path, whole: Mapping[str, Any]) -> Matrix:
    try:
        rows, found = whole["axes"], dict(whole["matrices"])
        matrix = dict(found[_one_of(name, found, f"{table} has no matrix")])
        asked, same = tuple(matrix.pop("axes")), matrix.pop("same", {})
        base, only = matrix.pop("base", None), matrix.pop("values", {})
        axes = {
            axis: _axis(
                rows[_one_of(axis, rows, f"{table} has no axis")], base if axis in asked else None, only.get(axis)
            )
            for axis in (*asked, *matrix.pop("others", ()))
        }
        runs, data, seeds = Path(matrix.pop("runs")), Path(matrix.pop("data")), tuple(matrix.pop("seeds"))
        read = Matrix(axes, asked, runs, data, seeds, {str(cell): str(other) for cell, other in same.items()})
        read.cells(asked)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{table}: the matrix {name} is not whole ({error!r}); docs/ablation.md shows one.") from error
    if matrix:
        raise ValueError(f"{table}: the matrix {name} has an unknown key, {next(iter(matrix))}.")
    same = read.same
    read.cells([*same, *same.values()])
    if twice := set(same) & set(same.values()):
        raise ValueError(f"{table}: in `same` of {name}, {twice.pop()} is the same as another; name that one.")
    return read


def _axis(row: Mapping[str, Any], base: str | None, only: Collection[str] | None) -> Axis:
    values = {str(value): dict(settings or {}) for value, settings in row["values"].items()}
    wanted = [_one_of(str(value), values, "The axis has no value") for value in (only or values)]
    return Axis(Path(base or row["base"]), {value: values[value] for value in wanted}, row.get("command"))


def _one_of(name: str, known: Collection[str], missing: str) -> str:
    if name not in known:
        raise ValueError(f"{missing} {name!r}; it has {', '.join(map(str, known))}.")
    return name


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by their paths as nested mappings.

    >>> nested({"data.frames": 4, "data.seed": 1, "model": {"width": 2}})
    {'data': {'frames': 4, 'seed': 1}, 'model': {'width': 2}}
    """
    tree: dict[str, Any] = {}
    for path, value in settings.items():
        *above, last = path.split(".")
        place = tree
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return tree
