"""``avcap score``: score a file of captions from any system, or the human bound."""

from __future__ import annotations

import json as json_format
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from unicodedata import normalize

from avcap.captions import Entry, read_captions
from avcap.ids import name_some
from avcap.jsonl import read_json_lines
from avcap.metrics.bounds import human_bound
from avcap.metrics.evaluate import Scores, evaluate
from avcap.metrics.nbest import evaluate_nbest
from avcap.metrics.predictions import read_predictions, write_predictions
from avcap.metrics.references import References
from avcap.metrics.tokenise import default_tokenizer
from avcap.study.report.table import Row, results_table

log = logging.getLogger(__name__)


def score(
    predictions: Path,
    references: Path,
    *,
    json: bool = False,
    metrics: list[str] | None = None,
    human: bool = False,
    partial: bool = False,
    out: Path | None = None,
) -> None:
    """Score captions against references and print a table.

    Every clip of the references must have exactly one line, unless ``partial`` leaves those without one out. Where lines have several captions, the first is scored as ever,
    and the best of them beside it (``<metric>_max``). Metrics that cannot be computed here are named with the reason on the
    error stream.

    Args:
        predictions: JSONL with a line {"id": ..., "caption": ...} a clip, or {"id": ..., "captions": [...]}, the best first;
            the id is youtube_id_start or youtube_id.
        references: A caption file that `avcap data prepare` reads (AudioCaps, Clotho, WavCaps, COCO), or JSONL with id and references.
        json: Print one flat JSON object instead (scores not multiplied by 100).
        metrics: Metrics to compute; if not given, all that are available but those on request.
        human: Add the human bound: the first reference of each clip scored against the others.
        partial: Score the clips that have a prediction alone; the number of clips and the id hash tell which.
        out: A file to write: a line a clip with its caption, references and scores.

    Raises:
        ValueError: If clips are missing, double or unknown; the message names up to five of them.
    """
    known = read_references(references)
    candidates = known.rename(read_predictions(predictions))
    known = _with_prediction(known, candidates, references, partial=partial)
    captions = {clip: several[0] for clip, several in candidates.items()}
    most, tokenizer = max(map(len, candidates.values()), default=0), default_tokenizer()
    scores = evaluate(captions, known.captions, metrics=metrics, tokenizer=tokenizer)
    best = people = None
    if most > 1:
        best = evaluate_nbest(candidates, known.captions, metrics=list(scores.corpus), tokenizer=tokenizer)
    if human:
        people = human_bound(known.captions, metrics=metrics, tokenizer=tokenizer)
    if out is not None:
        write_predictions(out, _lines(captions, known.captions, scores, best))
    if json:
        more = {f"human_{name}": value for name, value in people.corpus.items()} if people else {}
        print(_flat(scores, {"nbest": most, **best.corpus, **more} if best else more))
        return
    rows = [_row(predictions.stem, scores)]
    rows += [_row(f"{predictions.stem}, best of {most}", best)] if best else []
    rows += [_row("human bound", people)] if people else []
    print(results_table(rows, metrics=metrics, notes=_notes(scores)))


def human(
    references: Path, *, json: bool = False, metrics: list[str] | None = None, leave_one_out: bool = False
) -> None:
    """Score people: the first reference caption of each clip against the clip's others.

    Args:
        references: A caption file that `avcap data prepare` reads (AudioCaps, Clotho, WavCaps, COCO), or JSONL with id and references.
        json: Print one flat JSON object instead (scores not multiplied by 100).
        metrics: Metrics to compute; if not given, all that are available but those on request.
        leave_one_out: Score each reference in turn against the others, and give the mean.

    Raises:
        ValueError: If a clip has fewer than two references.
    """
    people = human_bound(read_references(references).captions, leave_one_out=leave_one_out, metrics=metrics)
    print(
        _flat(people) if json else results_table([_row("human bound", people)], metrics=metrics, notes=_notes(people))
    )


def read_references(path: Path) -> References:
    """Read reference captions from any caption file that avcap knows, or from JSONL.

    Args:
        path: CSV or JSON as for ``avcap data prepare``, or JSONL whose lines have ``id`` and ``references``,
            ``captions`` or ``caption``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has another form or holds no caption; the message names the file and what is missing.
    """
    path = Path(path)
    captions: dict[str, list[str]] = {}
    aliases: dict[str, set[str]] = {}
    for entry in _entries(path):
        captions.setdefault(entry.id, []).extend(entry.captions)
        for name in {entry.youtube_id or entry.id, entry.file or entry.id, entry.id.strip()}:
            aliases.setdefault(name, set()).add(entry.id)
    if not captions:
        raise ValueError(f"{path} holds no caption.")
    return References(captions, aliases)


def _entries(path: Path) -> Iterator[Entry]:
    """Return the clips of a caption file."""
    if path.suffix != ".jsonl":
        yield from read_captions(path)
        return
    from avcap.captions.documents import ReferenceRow, checked_fields

    for number, row in read_json_lines(path):
        captions = row.get("references", row.get("captions", row.get("caption")))
        if "id" not in row or captions is None:
            raise ValueError(f"{path}, line {number}: needs `id` and `references`, `captions` or `caption`")
        known = checked_fields(ReferenceRow, {"id": row["id"], "captions": captions}, f"{path}, line {number}")
        name = normalize("NFC", known.id)
        yield Entry(name, known.captions, youtube_id=name.rpartition("_")[0] or name)


def _with_prediction(known: References, predicted: Collection[str], path: Path, *, partial: bool) -> References:
    """Return the references of the clips that have a prediction.

    Raises:
        ValueError: If some have none and ``partial`` is off, or all have none.
    """
    missing = [clip for clip in known.captions if clip not in predicted]
    if missing and (not partial or len(missing) == len(known.captions)):
        remedy = "" if len(missing) == len(known.captions) else "; --partial true scores the others"
        raise ValueError(
            f"{len(missing)} of {len(known.captions)} clips have no prediction: {name_some(missing)} (of {path}){remedy}."
        )
    if missing:
        log.warning("%s: %d clips have no prediction and are left out: %s.", path, len(missing), name_some(missing))
    return References({clip: captions for clip, captions in known.captions.items() if clip in predicted})


def _lines(
    captions: Mapping[str, str], references: Mapping[str, list[str]], scores: Scores, best: Scores | None
) -> Iterator[dict[str, Any]]:
    """Format a line per clip as ``avcap test`` writes it."""
    for clip in sorted(captions):
        values = scores.clips[clip] | (best.clips[clip] if best else {})
        yield {"id": clip, "caption": captions[clip], "references": references[clip], "scores": values}


def _flat(scores: Scores, more: Mapping[str, float] | None = None) -> str:
    """Return one JSON object without nesting."""
    return json_format.dumps(
        {
            "clips": scores.clip_count,
            "id_hash": scores.id_hash,
            "tokenizer": scores.tokenizer,
            **scores.corpus,
            **(more or {}),
            "left_out": ", ".join(scores.left_out),
        },
        ensure_ascii=False,
    )


def _row(name: str, scores: Scores) -> Row:
    """Format a line of the table; the best of several captions goes to the column of its metric."""
    columns = {metric.removesuffix("_max"): value for metric, value in scores.corpus.items()}
    return Row(name, columns, scores.clip_count, scores.id_hash)


def _notes(scores: Scores) -> list[str]:
    """Return the notes that a reader of the table needs."""
    plain = "Words were split without Java: scores differ a little from published ones."
    return [plain] if scores.tokenizer == "plain" else []
