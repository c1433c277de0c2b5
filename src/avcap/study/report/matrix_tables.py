"""The tables of a report, before they become HTML, Markdown or LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from avcap.study.protocol import marked
from avcap.study.report.bootstrap import RESAMPLES, Difference, mean_and_std, paired_bootstrap
from avcap.study.report.collect import CellRuns, Group, Run
from avcap.study.report.config_differences import ABSENT, differences
from avcap.study.report.table import DEFAULT_METRICS, TITLES, rows_of

_INTERVALS = (
    "Differences to {baseline} × 100, seeds averaged, with the 95 % interval of {resamples:,} paired bootstrap resamplings of "
    "the clips. Bold: the interval excludes zero."
)
_MAP_COLUMNS = {
    "map_mass": "mass on true pairs",
    "map_uniform": "uniform",
    "map_gain": "gain",
    "map_gain_shuffled": "gain, shuffled",
    "map_skill": "skill",
}


class TableEntry(NamedTuple):
    """One cell of a table."""

    text: str
    value: float | None = None  # what it is sorted by; None: by its text
    strong: bool = False


class Table(NamedTuple):
    """A table; its first column names the rows."""

    title: str
    head: list[str]
    rows: list[list[TableEntry]]
    below: list[list[TableEntry]] = []  # rows that are no systems: the human bound, the constant caption
    notes: list[str] = []


def results_of(group: Group, *, speeds: Mapping[str, float]) -> Table:
    """Build the main table: each cell's mean and standard deviation over seeds, the best of each metric in bold.

    ``speeds`` are clips a second in training by cell name, where known.
    """
    metrics = metrics_of(group)
    head = ["system", *(f"{TITLES[m]} ↑" for m in metrics), "words", "trained", "parameters", "clips/s", "seeds"]
    means = {
        m: [mean_and_std(s).mean if (s := cell.scores(m)).size else -np.inf for cell in group.cells] for m in metrics
    }
    rows = []
    for number, cell in enumerate(group.cells):
        scores = [_score(cell.scores(m), best=len(group.cells) > 1 and _ties(means[m])[number]) for m in metrics]
        original = group.originals[cell.places]
        name = cell.label if original is cell else f"{cell.label} (= {original.name})"
        rows.append([TableEntry(name), *scores, *_facts(cell, speeds.get(cell.name))])
    seeds = ", mean ± standard deviation over seeds" if any(len(cell.runs) > 1 for cell in group.cells) else ""
    notes = [f"Scores × 100{seeds}{'; bold: the best' if len(group.cells) > 1 else ''}."]
    return Table("Results", head, rows, _bounds(group, metrics), notes)


def differences_of(group: Group, axis: str, baseline: CellRuns) -> Table:
    """Build the table of differences between an axis' cells and a baseline, with paired bootstrap intervals."""
    cells = [cell for cell in group.axes[axis] if cell is not baseline]
    metrics = metrics_of(group)
    columns = {metric: _compare(cells, baseline, metric, group.ids) for metric in metrics}
    rows = [
        [
            TableEntry(f"{_variant(baseline) if baseline.axis == axis else baseline.label} (baseline)"),
            *(_score(baseline.scores(m)) for m in metrics),
        ],
        *([TableEntry(_variant(cell)), *(columns[m][i] for m in metrics)] for i, cell in enumerate(cells)),
    ]
    title = f"Axis: {axis}" if axis else "Differences"
    notes = [_INTERVALS.format(baseline=baseline.name, resamples=RESAMPLES)]
    if pooled := [TITLES[m] for m in metrics if not any("[" in entry.text for entry in columns[m])]:
        notes.append(f"No interval: the score is no mean over clips, or clips have none: {', '.join(pooled)}.")
    return Table(title, ["variant", *(f"{TITLES[m]} ↑" for m in metrics)], rows, notes=notes)


def scenes_of(group: Group, kinds: Mapping[str, str], *, metric: str | None = None) -> Table | None:
    """Build the table of one metric by kind of scene and of all clips; None if kinds or clips' scores are unknown.

    A cell without a score of every clip has dashes. ``metric`` None takes the group's first clip metric.
    """
    metric = metric or next(iter(group.clip_metrics), None)
    if not kinds or not group.ids or metric is None:
        return None
    cells = list(group.originals.values())
    by_kind = clips_by_kind(group.ids, kinds)
    chosen = [*by_kind.values(), np.ones(len(group.ids), dtype=bool)]
    scores = [cell.clip_scores(metric, group.ids) for cell in cells]
    values = np.array([[-np.inf if of is None else of[clips].mean() for clips in chosen] for of in scores])
    best = [_ties(column) for column in values.T.tolist()]  # [kinds] of [cells]
    rows = [
        [
            TableEntry(cell.label),
            *(_mean(v, best=len(cells) > 1 and best[k][c]) for k, v in enumerate(values[c].tolist())),
        ]
        for c, cell in enumerate(cells)
    ]
    head = ["system", *(f"{kind} ({clips.sum()})" for kind, clips in by_kind.items()), "all"]
    title = TITLES.get(metric, metric)
    note = f"{title} × 100, mean over the clips of each kind (their number in brackets) and over seeds."
    return Table("By kind of scene", head, rows, notes=[note])


def map_quality_of(group: Group) -> Table | None:
    """Build the table of the assignment maps' mass on true pairs of tokens; None if no run measured it."""
    cells = [cell for cell in group.originals.values() if all(map(_measures_maps, cell.runs))]
    if not cells:
        return None
    rows = [
        [
            TableEntry(cell.label),
            *(_over_seeds([run.results["maps"][name] for run in cell.runs]) for name in _MAP_COLUMNS),
        ]
        for cell in cells
    ]
    notes = [
        "Mass on pairs of tokens that hear and see the same event, mean over the clips that have other pairs, too, and over seeds; "
        "gain: by a uniform map, and where every clip is fused with the frames of another; skill: 0 is a uniform map, 1 a perfect one."
    ]
    return Table("Map quality", ["system", *_MAP_COLUMNS.values()], rows, notes=notes)


def clips_by_kind(ids: Sequence[str], kinds: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return for each kind of scene, by name, which clips belong to it, ``[N]`` bool; a clip of unknown kind is "other"."""
    labels = np.array([kinds.get(clip, "other").replace("_", "-") for clip in ids])
    return {str(kind): labels == kind for kind in np.unique(labels)}


def configs_of(group: Group, axis: str) -> Table | None:
    """Return the config keys in which the cells of an axis differ; None where none does."""
    cells = group.axes[axis]
    table = differences([cell.runs[0].config for cell in cells])
    if not table:
        return None
    rows = [[TableEntry(key.replace(".init_args", "")), *map(TableEntry, values)] for key, values in table.items()]
    return Table(axis or "Config differences", ["key", *(cell.variant for cell in cells)], rows)


def protocols_of(group: Group) -> Table:
    """Build the table of what was tested: split and clips, decoding, seeds, and what chose the checkpoints."""
    rows, head = [], ["system"]
    for cell in group.originals.values():
        cells = [protocol.row() for protocol in cell.protocols]
        head = ["system", *cells[0]]
        values = {name: dict.fromkeys(row[name] for row in cells) for name in cells[0]}
        rows.append([TableEntry(cell.name), *(TableEntry("; ".join(texts)) for texts in values.values())])
    return Table("Protocol", head, rows)


def versions_of(group: Group) -> Table:
    """Build the table of software, a row per package, with all versions if runs differ."""
    found: dict[str, dict[str, None]] = {}
    for run in group.runs:
        versions = {**run.results.get("versions", {}), "words split by": run.results.get("tokenizer", ABSENT)}
        for package, version in versions.items():
            found.setdefault(package, {})[str(version)] = None
    rows = [
        [TableEntry(package), TableEntry(", ".join(versions), strong=len(versions) > 1)]
        for package, versions in found.items()
    ]
    return Table("Versions", ["package", "version"], rows)


def metrics_of(group: Group) -> list[str]:
    """Return the columns of ``results_table`` that at least one run has."""
    present = {metric for cell in group.cells for run in cell.runs for metric in run.results["scores"]}
    quiet = {"bleu_1", "bleu_2", "bleu_3"} - set(DEFAULT_METRICS)
    return [metric for metric in TITLES if metric in present - quiet]


def _compare(cells: Sequence[CellRuns], baseline: CellRuns, metric: str, ids: Sequence[str]) -> list[TableEntry]:
    """Build a column of differences, with intervals if the corpus score is the mean of the clips' scores."""
    own = _averaged(baseline, metric, ids)
    theirs = {i: scores for i, cell in enumerate(cells) if (scores := _averaged(cell, metric, ids)) is not None}
    bounds: dict[int, Difference] = {}
    if theirs and own is not None:
        found = paired_bootstrap(np.stack([scores - own for scores in theirs.values()]))
        bounds = dict(zip(theirs, found, strict=True))
    return [_difference(cell.scores(metric), baseline.scores(metric), bounds.get(i)) for i, cell in enumerate(cells)]


def _variant(cell: CellRuns) -> str:
    return marked(cell.variant, *cell.protocols)


def _averaged(cell: CellRuns, metric: str, ids: Sequence[str]) -> np.ndarray | None:
    """Return the clips' scores ``[N]`` if the corpus score is their mean, else None."""
    scores = cell.clip_scores(metric, ids) if ids else None
    if scores is None or not np.isclose(scores.mean(), cell.scores(metric).mean(), rtol=1e-4, atol=1e-6):
        return None
    return scores


def _difference(scores: np.ndarray, baseline: np.ndarray, bounds: Difference | None) -> TableEntry:
    if not scores.size or not baseline.size:
        return TableEntry(ABSENT, -np.inf)
    mean = float(scores.mean() - baseline.mean())
    if bounds is None:
        return TableEntry(_signed(mean), mean)
    return TableEntry(f"{_signed(mean)} [{_signed(bounds.low)}, {_signed(bounds.high)}]", mean, bounds.clear)


def _signed(value: float) -> str:
    """Format a number times 100 with its sign; zero has none."""
    text = f"{100 * value:+.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


def _score(scores: np.ndarray, *, best: bool = False) -> TableEntry:
    if not scores.size:
        return TableEntry(ABSENT, -np.inf)
    return TableEntry(_spread_of(100 * scores, digits=1), float(scores.mean()), best)


def _measures_maps(run: Run) -> bool:
    return run.results.get("maps", {}).keys() >= _MAP_COLUMNS.keys()


def _over_seeds(values: Sequence[float]) -> TableEntry:
    return TableEntry(_spread_of(np.array(values), digits=3), float(np.mean(values)))


def _spread_of(values: np.ndarray, *, digits: int) -> str:
    """Format the mean and, if there are several, the standard deviation."""
    mean, std, _ = mean_and_std(values)
    return f"{mean:.{digits}f}".replace("-", "−") + ("" if std is None else f" ± {std:.{digits}f}")


def _mean(value: float, *, best: bool) -> TableEntry:
    """Return a mean over clips, or minus infinity if there is none."""
    return TableEntry(f"{100 * value:.1f}" if np.isfinite(value) else ABSENT, value, best)


def _ties(means: Sequence[float]) -> list[bool]:
    """Return which values are the highest as printed, with one decimal."""
    printed = [round(100 * mean, 1) for mean in means]
    return [value == max(printed) and np.isfinite(value) for value in printed]


def _facts(cell: CellRuns, speed: float | None) -> list[TableEntry]:
    """Build the table of vocabulary, parameter counts, speed and number of seeds."""
    words = cell.scores("vocab")
    parameters = [run.results.get("settings", {}).get("parameters", {}) for run in cell.runs]
    counts = [next((p[which] for p in parameters if which in p), None) for which in ("trainable", "all")]
    return [
        TableEntry(f"{words.mean():.0f}", float(words.mean())) if words.size else TableEntry(ABSENT, -np.inf),
        *(TableEntry(ABSENT, -np.inf) if count is None else TableEntry(millions(count), count) for count in counts),
        TableEntry(ABSENT, -np.inf) if speed is None else TableEntry(f"{speed:.3g}", speed),
        TableEntry(str(len(cell.runs)), len(cell.runs)),
    ]


def millions(count: int) -> str:
    """Format a number of parameters: 4.28 M, 812 k, 6.74 G."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{f'{count / size:#.3g}'.rstrip('.')} {unit}"
    return str(count)


def _bounds(group: Group, metrics: Sequence[str]) -> list[list[TableEntry]]:
    """Return the rows of the human bound and the constant caption, from the first run that has them."""
    rows: dict[str, list[TableEntry]] = {}
    for run in group.runs:
        for name, scores, *_ in rows_of(run.results)[1:]:
            cells = [_score(np.array([scores[m]] if m in scores else [])) for m in metrics]
            rows.setdefault(name, [TableEntry(name), *cells, *[TableEntry("")] * 5])
    return list(rows.values())
