"""``avcap score``: scores a file of captions, from avcap or from elsewhere."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator
from pathlib import Path

from avcap.data.captions import Entry, read_captions
from avcap.metrics.bounds import human_bound
from avcap.metrics.evaluate import Scores, evaluate
from avcap.metrics.predictions import read_json_lines, read_predictions
from avcap.metrics.references import References
from avcap.report.table import Row, results_table


def score(
    predictions: Path,
    references: Path,
    *,
    json: bool = False,
    metrics: list[str] | None = None,
    human: bool = False,
) -> None:
    """Scores captions against references and prints a table.

    Every clip of the references must have exactly one caption. Metrics that cannot be computed here are named with
    the reason on the error stream.

    Args:
        predictions: JSONL with a line {"id": ..., "caption": ...} a clip; the id is youtube_id_start or youtube_id.
        references: AudioCaps CSV (v1 or v2), Clotho CSV, COCO JSON, or JSONL with id and references.
        json: Print one flat JSON object instead (scores not multiplied by 100).
        metrics: Metrics to compute; all that are available if not given.
        human: Add the human bound: the first reference of each clip scored against the others.

    Raises:
        ValueError: If clips are missing, double or unknown; the message names up to five of them.
    """
    known = read_references(references)
    scores = evaluate(known.rename(read_predictions(predictions)), known.captions, metrics=metrics)
    people = human_bound(known.captions, metrics=metrics) if human else None
    print(_flat(scores, people) if json else _table(predictions.stem, scores, people, metrics=metrics))


def read_references(path: Path) -> References:
    """Reads reference captions from any caption file that avcap knows, or from JSONL.

    Args:
        path: CSV or JSON as for ``avcap data prepare``, or JSONL whose lines have ``id`` and ``references``,
            ``captions`` or ``caption``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has another form or holds no caption; the message names the file and what is missing.
    """
    captions: dict[str, list[str]] = {}
    aliases: dict[str, set[str]] = {}
    for entry in _entries(Path(path)):
        captions.setdefault(entry.id, []).extend(entry.captions)
        aliases.setdefault(entry.youtube_id or entry.id, set()).add(entry.id)
    if not captions:
        raise ValueError(f"{path} holds no caption.")
    return References(captions, aliases)


def _entries(path: Path) -> Iterator[Entry]:
    """The clips of a caption file."""
    if path.suffix != ".jsonl":
        yield from read_captions(path)
        return
    for number, row in read_json_lines(path):
        captions = row.get("references", row.get("captions", row.get("caption")))
        if "id" not in row or captions is None:
            raise ValueError(f"{path}, line {number}: needs `id` and `references`, `captions` or `caption`")
        captions = [captions] if isinstance(captions, str) else list(captions)
        name = str(row["id"])
        yield Entry(name, captions, youtube_id=name.rpartition("_")[0] or name)


def _flat(scores: Scores, people: Scores | None) -> str:
    """One JSON object without nesting."""
    return json_format.dumps(
        {
            "clips": scores.count,
            "id_hash": scores.id_hash,
            "tokenizer": scores.tokenizer,
            **scores.corpus,
            **({f"human_{name}": value for name, value in people.corpus.items()} if people else {}),
            "left_out": ", ".join(scores.left_out),
        },
        ensure_ascii=False,
    )


def _table(name: str, scores: Scores, people: Scores | None, *, metrics: list[str] | None) -> str:
    """A table of one or two rows."""
    rows = [Row(name, scores.corpus, scores.count, scores.id_hash)]
    if people:
        rows.append(Row("human bound", people.corpus, people.count, people.id_hash))
    plain = ["Words were split without Java: scores differ a little from published ones."]
    return results_table(rows, metrics=metrics, notes=plain if scores.tokenizer == "plain" else [])
