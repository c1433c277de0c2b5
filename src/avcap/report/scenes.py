"""One metric by kind of scene, runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from avcap.report.table import TITLES, align


def scenes_table(scores: Mapping[str, Mapping[str, Sequence[float]]], *, metric: str) -> str:
    """A Markdown table: a row a run, a column a kind of scene and one for all; the mean over the clips times 100.

    Args:
        scores: Run -> kind of scene -> the score of each of its clips; a run without any is shown as "-".
        metric: Their name, for the heading.

    Raises:
        ValueError: if there is no run.
    """
    if not scores:
        raise ValueError("There are no runs to compare; name at least one.")
    counts = {kind: len(clips) for kinds in scores.values() for kind, clips in kinds.items()}
    kinds = sorted(counts)
    head = [f"{TITLES.get(metric, metric)} × 100", *(f"{kind} ({counts[kind]})" for kind in kinds), "all"]
    body = [
        [
            run,
            *(_mean(by_kind.get(kind, ())) for kind in kinds),
            _mean([v for clips in by_kind.values() for v in clips]),
        ]
        for run, by_kind in scores.items()
    ]
    return "\n".join(align(head, body))


def _mean(values: Sequence[float]) -> str:
    """The mean times 100, or a dash where there is no value."""
    return f"{100 * fmean(values):.1f}" if values else "-"
