"""`avcap compare`: runs side by side, by kind of scene."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from avcap.metrics.predictions import read_json_lines
from avcap.report import scenes_table
from avcap.report.collect import Cell, find_runs, group_runs


def compare(runs: list[Path], *, events: Path = Path("data/demo/events.jsonl"), metric: str = "cider_d") -> None:
    """Print one metric of several runs by kind of scene: which stream does a system need?

    In a sound-alike scene only the picture tells what sounds, in a look-alike scene only the sound does.

    Args:
        runs: Folders of runs after `avcap test`, or folders above them. Seeds of one variant (`variant/0`, `variant/1`) are one row.
        events: The file that says of which kind each clip is (`avcap data demo` makes it).
        metric: A metric that has a score for each clip, such as cider_d or named_recall.

    Raises:
        FileNotFoundError: if a run has no results, or there is no such events file.
        ValueError: if the runs were tested on different clips, or no run has such a score.
    """
    groups = group_runs(find_runs(runs))
    if len(groups) > 1:
        hashes = ", ".join(sorted(group.id_hash for group in groups))
        raise ValueError(f"The runs were tested on different clips ({hashes}); test them on the same.")
    kinds = {clip["id"]: clip["scene"] for _, clip in read_json_lines(events)}
    table: dict[str, dict[str, list[float]]] = {}
    lacking = []
    for group in groups:
        for cell in group.cells:
            values = cell.clip_scores(metric, group.ids)
            scores: dict[str, list[float]] = defaultdict(list)
            if values is None or not values.size:
                lacking.append(cell.name)
            else:
                for clip, value in zip(group.ids, values.tolist(), strict=True):
                    scores[kinds.get(clip, "other")].append(value)
            table[_title(cell)] = scores
    note = f"No {metric} of every clip: {', '.join(lacking)}; run `avcap test` again."
    if table and len(lacking) == len(table):
        raise ValueError(note)
    print(scenes_table(table, metric=metric))
    if lacking:
        print(f"\n{note}")


def _title(cell: Cell) -> str:
    """Its name, and how many seeds it has where they are several."""
    return f"{cell.name} ({len(cell.runs)} seeds)" if len(cell.runs) > 1 else cell.name
