"""`avcap compare`: runs side by side, by kind of scene."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from avcap.metrics.predictions import read_json_lines
from avcap.report import read_results, scenes_table


def compare(runs: list[Path], *, events: Path = Path("data/demo/events.jsonl"), metric: str = "cider_d") -> None:
    """Print one metric of several runs by kind of scene: which stream does a system need?

    In a sound-alike scene only the picture tells what sounds, in a look-alike scene only the sound does.

    Args:
        runs: Folders of runs after `avcap test`.
        events: The file that says of which kind each clip is (`avcap data demo` makes it).
        metric: A metric that has a score for each clip.

    Raises:
        FileNotFoundError: if a run has no predictions, or there is no such events file.
        ValueError: if the runs were tested on different clips, or have no such score.
    """
    kinds = {clip["id"]: clip["scene"] for _, clip in read_json_lines(events)}
    table: dict[str, dict[str, list[float]]] = {}
    hashes = set()
    for run in runs:
        hashes.add(read_results(run / "results.json")["id_hash"])
        scores: dict[str, list[float]] = defaultdict(list)
        for _, row in read_json_lines(run / "predictions.jsonl"):
            if metric not in row.get("scores", {}):
                raise ValueError(f"{run / 'predictions.jsonl'} has no {metric} of {row['id']}; run `avcap test` again.")
            scores[kinds.get(row["id"], "other")].append(row["scores"][metric])
        table[str(run)] = scores
    if len(hashes) > 1:
        raise ValueError(
            f"The runs were tested on different clips ({', '.join(sorted(hashes))}); test them on the same."
        )
    print(scenes_table(table, metric=metric))
