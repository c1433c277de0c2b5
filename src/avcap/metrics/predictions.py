"""The file ``predictions.jsonl``: one line a clip with id, caption and, after an evaluation, references and scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from avcap.jsonl import is_text, read_json_lines, write_json_lines


def write_predictions(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write predictions in one step, so that no half file is left.

    Rows are ``{"id", "caption"}`` and optionally ``captions`` (list, the best first), ``references`` (list) and ``scores``
    (metric to number), as ``CaptionScores.rows()`` gives them.
    """
    write_json_lines(path, rows)


def read_predictions(path: Path) -> list[tuple[str, list[str]]]:
    """Read ids and captions, in file order.

    Args:
        path: A JSONL file whose lines have ``id`` and ``caption``, or ``id`` and ``captions``, the best first; a line that
            has both must begin ``captions`` with ``caption``.

    Returns:
        Pairs of id and captions; an id that comes twice is kept twice, for the caller to judge.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is no JSON, or lacks a field or has no text in it; the message names file and line.
    """
    path = Path(path)
    pairs = []
    for number, row in read_json_lines(path):
        captions, name = row.get("captions", [row.get("caption")]), row.get("id")
        if isinstance(name, bool) or not isinstance(name, (str, int)) or not _is_texts(captions):
            raise ValueError(f"{path}, line {number}: needs `id` and a text `caption`, or a list of texts `captions`")
        if row.get("caption", captions[0]) != captions[0]:
            raise ValueError(f"{path}, line {number}: `caption` is not the first of `captions`")
        pairs.append((str(name), captions))
    return pairs


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read whole lines: ``id`` and ``caption``, and ``references`` (list) and ``scores`` (metric to number) where they are there.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is no JSON or a field is of another type; the message names file and line.
    """
    rows = []
    for number, row in read_json_lines(Path(path)):
        scores, references = row.get("scores") or {}, row.get("references") or [""]
        right = isinstance(scores, dict) and all(isinstance(value, int | float) for value in scores.values())
        texts = all(isinstance(row.get(key), str) for key in ("id", "caption"))
        if not (texts and right and _is_texts(references)):
            raise ValueError(
                f"{path}, line {number}: needs `id` and a text `caption`, `references` that are texts and `scores` that are "
                "numbers; run `avcap test` again."
            )
        rows.append(row)
    return rows


def _is_texts(value: Any) -> bool:
    """Return whether a value is a list of one or more texts."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(text, str) and (is_text(text) or not text.strip()) for text in value)
    )
