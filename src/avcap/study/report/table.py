"""Results as a Markdown table, which is readable as plain text too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from avcap.study.protocol import marked, protocol_of

TITLES = {
    "bleu_1": "BLEU-1",
    "bleu_2": "BLEU-2",
    "bleu_3": "BLEU-3",
    "bleu_4": "BLEU-4",
    "meteor": "METEOR",
    "rouge_l": "ROUGE-L",
    "cider_d": "CIDEr-D",
    "spice": "SPICE",
    "spider": "SPIDEr",
    "spider_fl": "SPIDEr-FL",
    "fense": "FENSE",
    "sbert_sim": "SBERT-sim",
    "sbert_sim_minilm": "SBERT-sim (MiniLM)",
    "named_recall": "named recall",
    "named_precision": "named precision",
    "named_any": "one named",
}
"""Metrics that tables show multiplied by 100, with their printed names, in the order of columns."""

DEFAULT_METRICS = ("bleu_4", "meteor", "rouge_l", "cider_d")
_PLAIN_TITLES = {"vocab": "words", "unique_ratio": "unique", "length": "length", "repetition": "repeats"}
_ABSENT = "-"


class Row(NamedTuple):
    """One line of a results table."""

    name: str
    scores: Mapping[str, float]  # metric -> score, not multiplied by 100
    clips: int
    id_hash: str


def rows_of(results: Mapping[str, Any]) -> list[Row]:
    """Return the lines of one results file, as read: the system, the human bound and the constant caption, if computed."""
    clips, hashed = results["clips"], results["id_hash"]
    rows = [Row(marked(results["name"], protocol_of(results)), results["scores"], clips, hashed)]
    if results.get("human_bound"):
        rows.append(Row("human bound", results["human_bound"], clips, hashed))
    if constant := results.get("constant"):
        rows.append(Row(f"constant: “{constant['caption']}”", constant["scores"], clips, hashed))
    return rows


def results_table(rows: Sequence[Row], *, metrics: Sequence[str] | None = None, notes: Sequence[str] = ()) -> str:
    """Format a table.

    Args:
        rows: One line each.
        metrics: Columns; None shows BLEU-4, METEOR, ROUGE-L, CIDEr-D, and whatever else of ``TITLES`` but BLEU-1 to 3
            some row has.
        notes: Sentences to put below.

    Returns:
        Markdown with aligned columns. Scores are multiplied by 100, as the first line says; a score that was not
        computed is shown as "-". A note warns where rows were scored on different clips.

    Raises:
        ValueError: If there is no row, or two rows have the same clips hash and different numbers of clips.
    """
    if not rows:
        raise ValueError("there are no results to put into a table")
    columns = list(metrics) if metrics is not None else _columns(rows)
    head = ["system", *(TITLES.get(m, _PLAIN_TITLES.get(m, m)) for m in columns), "clips", "clip ids"]
    body = [[row.name, *(_number(row.scores, m) for m in columns), str(row.clips), row.id_hash] for row in rows]
    notes = list(notes)
    if len({row.id_hash for row in rows}) > 1:
        notes.append("Rows with different clip ids were scored on different clips and cannot be compared.")
    lines = ["Scores × 100.", "", *align(head, body)]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def _columns(rows: Sequence[Row]) -> list[str]:
    """Return the default columns, then further metrics that some row has."""
    present = {metric for row in rows for metric in row.scores}
    quiet = {"bleu_1", "bleu_2", "bleu_3"}
    return [metric for metric in TITLES if metric in DEFAULT_METRICS or metric in present - quiet]


def _number(scores: Mapping[str, float], metric: str) -> str:
    """Format one cell."""
    if metric not in scores:
        return _ABSENT
    value = scores[metric]
    return f"{100 * value:.1f}" if metric in TITLES else f"{value:g}" if float(value).is_integer() else f"{value:.2f}"


def align(head: list[str], body: list[list[str]]) -> list[str]:
    """Pad the cells: names to the left, numbers to the right."""
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]

    def draw(cells: list[str]) -> str:
        padded = [cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return [draw(head), draw(rule), *map(draw, body)]
