"""`avcap compare`: runs side by side, by kind of scene."""

from __future__ import annotations

from pathlib import Path

from avcap.jsonl import read_json_lines
from avcap.study.report.collect import CellRuns, find_runs, group_runs
from avcap.study.report.matrix_tables import scenes_of
from avcap.study.report.table import TITLES, align


def compare(runs: list[Path], *, events: Path = Path("data/demo/events.jsonl"), metric: str = "cider_d") -> None:
    """Print one metric of several runs by kind of scene: which stream does a system need?

    In a sound-alike scene only the video shows the source of the sound; in a look-alike scene only the audio tells it.

    Args:
        runs: Folders of runs after `avcap test`, or folders above them. Seeds of one variant (`variant/0`, `variant/1`) are one row.
        events: The file with the kind of each clip (`avcap data demo` makes it).
        metric: A metric that has a score for each clip, such as cider_d or named_recall.

    Raises:
        FileNotFoundError: if a run has no results, or there is no such events file.
        ValueError: if the runs were tested on different clips, no run has such a score, or the file has no kinds.
    """
    groups = group_runs(find_runs(runs))
    if len(groups) > 1:
        hashes = ", ".join(sorted(group.id_hash for group in groups))
        raise ValueError(f"The runs were tested on different clips ({hashes}); test them on the same.")
    (group,) = groups
    cells = list(group.originals.values())
    lacking = [cell.name for cell in cells if not group.ids or cell.clip_scores(metric, group.ids) is None]
    note = f"No {metric} of every clip: {', '.join(lacking)}; run `avcap test` again."
    if len(lacking) == len(cells):
        raise ValueError(note)
    kinds = {clip["id"]: clip["scene"] for _, clip in read_json_lines(events) if {"id", "scene"} <= clip.keys()}
    table = scenes_of(group, kinds, metric=metric)
    if table is None:
        raise ValueError(
            f"{events} tells of no clip what kind of scene it is; name the file that `avcap data demo` makes."
        )
    rows = [[_title(cell), *(entry.text for entry in row[1:])] for cell, row in zip(cells, table.rows, strict=True)]
    print("\n".join(align([f"{TITLES.get(metric, metric)} × 100", *table.head[1:]], rows)))
    if lacking:
        print(f"\n{note}")


def _title(cell: CellRuns) -> str:
    """Return the name of a cell, and its number of seeds if there are several."""
    return f"{cell.label} ({len(cell.runs)} seeds)" if len(cell.runs) > 1 else cell.label
