"""A few systems tested on the same clips: where they differ, and how they speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from avcap.figures.style import FAINT, INK, colour, new_figure, style_axes
from avcap.metrics.tokenise import PlainTokenizer
from avcap.study.report.bootstrap import Difference, paired_bootstrap
from avcap.study.report.collect import CellRuns, Group
from avcap.study.report.matrix_tables import Table, TableEntry, clips_by_kind
from avcap.study.report.table import TITLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REFERENCES = "references"


def scene_differences(
    group: Group, cell: CellRuns, baseline: CellRuns, kinds: Mapping[str, str]
) -> dict[str, Difference]:
    """How much a system scores above a baseline on all clips and on those of each kind, with paired intervals.

    Args:
        group: Cells tested on the same clips; its first clip metric is compared.
        cell: The system.
        baseline: What it is compared with.
        kinds: Clip id -> kind of scene; may be empty.

    Returns:
        ``all`` and each kind of scene (``other``: not known) -> the mean difference and its 95 % interval.

    Raises:
        ValueError: If the two have no common score of every clip.
    """
    if not group.clip_metrics:
        raise ValueError("The runs have no common score of every clip; run `avcap test` again.")
    own, other = (one.clip_scores(group.clip_metrics[0], group.ids) for one in (cell, baseline))
    chosen = {"all": np.ones(len(group.ids), dtype=bool), **(clips_by_kind(group.ids, kinds) if kinds else {})}
    return {kind: paired_bootstrap((own - other)[None, clips])[0] for kind, clips in chosen.items()}


def figure_differences(found: Mapping[str, Mapping[str, Difference]], *, baseline: str, metric: str) -> Figure:
    """Draws differences as points with their intervals, a row a kind of scene and a colour a system.

    Args:
        found: System -> kind of scene -> difference to the baseline.
        baseline: Its name.
        metric: Which score is compared.
    """
    kinds = list(dict.fromkeys(kind for by_kind in found.values() for kind in by_kind))
    figure = new_figure(7.2, 0.26 * len(kinds) * (len(found) + 0.6) + 1.4)
    axes = figure.add_subplot()
    for number, (system, by_kind) in enumerate(found.items()):
        rows = np.array([kinds.index(kind) for kind in by_kind]) + (number - (len(found) - 1) / 2) * 0.7 / len(found)
        middles, lows, highs = (100 * np.array(values) for values in zip(*by_kind.values(), strict=True))
        errors = np.stack([middles - lows, highs - middles])
        axes.errorbar(middles, rows, xerr=errors, fmt="o", ms=4, lw=1.4, color=colour(number), label=system)
    axes.axvline(0, color=INK, lw=0.9)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_ylim(len(kinds) - 0.5, -0.5)
    style_axes(axes, x=f"{TITLES.get(metric, metric)} × 100 above {baseline}, with its 95 % interval", grid=True)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8, labelcolor=INK)
    return figure


def captions_of(group: Group, clip: str) -> Table:
    """What each system says of a clip, with its score, and the references below."""
    metric = group.clip_metrics[0]
    rows = [cell.runs[0].rows[clip] for cell in group.captioned]
    said = [
        [TableEntry(row["caption"]), TableEntry(cell.name), TableEntry(f"{100 * row['scores'][metric]:.0f}")]
        for cell, row in zip(group.captioned, rows, strict=True)
    ]
    references = [[TableEntry(text), TableEntry("a person"), TableEntry("")] for text in rows[0].get("references", [])]
    return Table(clip, ["caption", "by", f"{TITLES[metric]} × 100"], said, references)


def figure_words(group: Group) -> Figure:
    """Draws how long captions are, and how many different words are used over the captions, beside one reference a clip.

    Args:
        group: Cells tested on the same clips; of each, the first seed speaks.

    Raises:
        ValueError: If no run has captions.
    """
    if not group.captioned:
        raise ValueError("No run has captions; run `avcap test` again.")
    runs = {cell.name: cell.runs[0].rows for cell in group.captioned}
    rows = next(iter(runs.values()))
    spoken = {name: [of[clip]["caption"] for clip in group.ids] for name, of in runs.items()}
    if all(rows[clip].get("references") for clip in group.ids):
        spoken[REFERENCES] = [rows[clip]["references"][0] for clip in group.ids]
    words = {name: [text.split() for text in PlainTokenizer().split(texts)] for name, texts in spoken.items()}
    figure = new_figure(9.2, 3.4)
    lengths, growth = figure.subplots(1, 2)
    longest = max(len(caption) for captions in words.values() for caption in captions)
    for number, (name, captions) in enumerate(words.items()):
        looks = {"color": FAINT, "ls": "--"} if name == REFERENCES else {"color": colour(number)}
        shares = np.bincount([len(caption) for caption in captions], minlength=longest + 1) / len(captions)
        lengths.step(range(longest + 1), 100 * shares, where="mid", label=name, **looks)
        growth.plot(range(1, len(captions) + 1), _vocabulary(captions), label=name, **looks)
    style_axes(lengths, title="length", x="words in a caption", y="captions (%)", grid=True)
    style_axes(
        growth, title="vocabulary", x="captions read (in the order of clip ids)", y="different words so far", grid=True
    )
    growth.legend(frameon=False, fontsize=8, labelcolor=INK)
    return figure


def _vocabulary(captions: Sequence[Sequence[str]]) -> list[int]:
    """How many different words the first caption has, the first two have, and so on."""
    seen: set[str] = set()
    counts = []
    for caption in captions:
        seen.update(caption)
        counts.append(len(seen))
    return counts
