"""What a captioner loses if a stream is corrupted: drops, the modality-bias index, a table and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from avcap.figures.style import FAINT, GRID, INK, colour, new_figure
from avcap.metrics.bias import bias_index
from avcap.study.report.bootstrap import paired_bootstrap
from avcap.study.report.table import TITLES, align

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BOTH = "both"  # the stream of a condition that corrupts both
COLOURS = {"audio": colour(0), "video": colour(1), BOTH: FAINT}


class ScoreDrop(NamedTuple):
    """The drop of one condition, in the unit of the metric."""

    name: str
    stream: str  # audio, video or both
    family: str
    score: float  # mean over the clips
    absolute: float  # mean paired difference, clean minus corrupted; below 0 the score rose
    relative: float | None  # of the clean score; None where that is 0
    low: float  # 95 % paired bootstrap interval of ``absolute``
    high: float


class Bias(NamedTuple):
    """The two streams compared within one family of conditions."""

    family: str
    audio: float  # mean drop over the levels
    video: float
    value: float | None  # see avcap.metrics.bias.bias_index


def drops(
    clean: Mapping[str, float], corrupted: Mapping[str, Mapping[str, float]], kinds: Mapping[str, tuple[str, str]]
) -> list[ScoreDrop]:
    """Compute the paired drops of every condition, all resampled with the same draws of clips.

    Scores are by clip id; ``kinds`` are the stream and the family of each condition.

    Raises:
        ValueError: if a condition was scored on other clips.
    """
    ids = sorted(clean)
    for name, scores in corrupted.items():
        if sorted(scores) != ids:
            raise ValueError(f"{name} was scored on other clips than the clean ones; run it again with --overwrite.")
    if not corrupted:
        return []
    base = np.array([clean[i] for i in ids])  # [N]
    table = np.array([[clips[i] for i in ids] for clips in corrupted.values()])  # [K, N]
    found = paired_bootstrap(base - table)
    mean = float(base.mean())
    return [
        ScoreDrop(name, *kinds[name], float(row.mean()), d.mean, d.mean / mean if mean else None, d.low, d.high)
        for name, row, d in zip(corrupted, table, found, strict=True)
    ]


def biases(found: Sequence[ScoreDrop]) -> list[Bias]:
    """Compute the index of each family with conditions of both streams; average drops over the levels first."""
    families = dict.fromkeys(drop.family for drop in found)
    means = {
        family: {
            stream: fmean(values)
            for stream in ("audio", "video")
            if (values := [d.absolute for d in found if d.family == family and d.stream == stream])
        }
        for family in families
    }
    return [
        Bias(family, m["audio"], m["video"], bias_index(m["audio"], m["video"]))
        for family, m in means.items()
        if len(m) == 2
    ]


def robustness_table(clean: float, found: Sequence[ScoreDrop], *, metric: str) -> str:
    """Format two Markdown tables: the conditions with their drops, and the families with their index; scores times 100."""
    title = TITLES.get(metric, metric)
    head = ["condition", title, "drop", "95 %", "relative"]
    body = [["clean", f"{100 * clean:.1f}", "", "", ""], *map(_cells, found)]
    lines = [f"{title} × 100; drop = clean minus corrupted, with its paired bootstrap interval over the clips.", ""]
    lines += align(head, body)
    if rows := biases(found):
        families = [[b.family, f"{100 * b.audio:.1f}", f"{100 * b.video:.1f}", _index(b)] for b in rows]
        lines += ["", "Modality-bias index: +1 depends on audio alone, -1 on video alone.", ""]
        lines += align(["family", "audio drop", "video drop", "index"], families)
    return "\n".join(lines)


def draw_robustness(path: Path, clean: float, found: Sequence[ScoreDrop], *, metric: str) -> None:
    """Draw the drops as bars with their intervals, one panel per family, and write the figure, its format by the suffix."""
    families = list(dict.fromkeys(drop.family for drop in found))
    rows = [[drop for drop in found if drop.family == family] for family in families]
    heights = [len(row) for row in rows]
    figure = new_figure(8, 0.3 * sum(heights) + 0.3 * len(rows) + 1.4, layout=None)
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    indices = {bias.family: bias for bias in biases(found)}
    for panel, family, row in zip(panels, families, rows, strict=True):
        _draw_family(panel, row)
        mark = f"\nindex {_index(indices[family])}" if family in indices else ""
        panel.set_title(f"{family}{mark}", fontsize=9, loc="right", x=1.14, y=0.5, va="center", ha="center")
    title = TITLES.get(metric, metric)
    panels[-1].set_xlabel(f"drop in {title} × 100 (clean: {100 * clean:.1f}), with 95 % interval", fontsize=9)
    figure.tight_layout(rect=(0, 0, 0.97, 1), h_pad=0.4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _draw_family(panel: Axes, row: Sequence[ScoreDrop]) -> None:
    """Draw the bars of one family, the first on top."""
    places = range(len(row))
    values = [100 * drop.absolute for drop in row]
    errors = [[100 * (d.absolute - d.low) for d in row], [100 * (d.high - d.absolute) for d in row]]
    panel.barh(places, values, xerr=errors, color=[COLOURS[d.stream] for d in row], height=0.72, ecolor=INK)
    panel.set_yticks(places, [drop.name for drop in row], fontsize=8)
    panel.invert_yaxis()
    panel.axvline(0, color=INK, linewidth=0.8)
    panel.grid(axis="x", color=GRID, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(axis="both", length=0, labelsize=8)


def _cells(drop: ScoreDrop) -> list[str]:
    relative = "-" if drop.relative is None else f"{drop.relative:.0%}"
    interval = f"{100 * drop.low:.1f} to {100 * drop.high:.1f}"
    return [drop.name, f"{100 * drop.score:.1f}", f"{100 * drop.absolute:.1f}", interval, relative]


def _index(bias: Bias) -> str:
    return "-" if bias.value is None else f"{bias.value:+.2f}"
