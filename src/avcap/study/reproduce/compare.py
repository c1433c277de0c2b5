"""Our rows beside the paper's, with the protocol of both."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev

from avcap.mappings import read_json, read_yaml
from avcap.study.ablation.cell import RESULTS
from avcap.study.protocol import marked, protocol_of
from avcap.study.report.table import align
from avcap.study.reproduce.plan import Reproduction

NONE = "–"


def table_text(made: Reproduction) -> str:
    """Return the table as Markdown: for each row the paper's scores and ours, then how both were made.

    Scores are per cent; of several seeds the mean and the standard deviation are given.
    """
    paper = made.table
    head = ["row", "whose", *paper.metrics, "clips"]
    body, notes = [], []
    for row in paper.rows:
        published = paper.rows[row].scores
        ours = [
            (seed, read_json(path, remedy="run the test again"))
            for seed in made.seeds
            if (path := made.folder(row, seed) / RESULTS).is_file()
        ]
        if not ours and row not in made.rows:
            continue
        body.append(
            [
                row,
                "paper",
                *(_number([published[m]] if m in published else []) for m in paper.metrics),
                str(paper.clips),
            ]
        )
        scores = [_number([100 * r["scores"][m] for _, r in ours if m in r["scores"]]) for m in paper.metrics]
        whose = marked("here", *(protocol_of(results) for _, results in ours))
        body.append([row, whose, *scores, ", ".join(dict.fromkeys(str(r["clips"]) for _, r in ours)) or NONE])
        notes += [
            f"- {row}, here: {_protocol(results, made.folder(row, seed) / 'config.yaml')}" for seed, results in ours
        ]
    lines = [f"# {paper.title}", "", *align(head, body), ""]
    if not any(row.scores for row in paper.rows.values()):
        lines += ["The paper's scores are not in avcap (papers.yaml): they could not be read when it was written.", ""]
    lines += [f"- paper: selection: {paper.selection}; decoding: {paper.decoding}; clips: {paper.clips}", *notes]
    return "\n".join(lines) + "\n"


def _number(values: list[float]) -> str:
    if not values:
        return NONE
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread}"


def _protocol(results: dict, config: Path) -> str:
    """Return how a test was made, as its results and its config tell."""
    told = protocol_of(results, read_yaml(config) if config.is_file() else {}).row()
    left_out = ", ".join(results.get("left_out", {}))
    return "; ".join(f"{name}: {value}" for name, value in {**told, "left out": left_out}.items() if value)
