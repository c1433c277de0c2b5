"""The file ``predictions.jsonl``: one line a clip with id, caption and, after an evaluation, references and scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


def write_predictions(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes predictions, whole or not at all.

    Args:
        path: The file; folders are made.
        rows: ``{"id", "caption"}`` and optionally ``captions`` (list, the best first), ``references`` (list) and
            ``scores`` (metric to number), as ``CaptionScores.rows()`` gives them.
    """
    write_json_lines(path, rows)


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes a JSONL file, whole or not at all.

    Args:
        path: The file; folders are made.
        rows: An object a line.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.partial")
    fresh.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    fresh.replace(path)


def read_predictions(path: Path) -> list[tuple[str, list[str]]]:
    """Reads ids and captions, in file order.

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
        captions = row.get("captions", [row.get("caption")])
        if "id" not in row or not _is_texts(captions):
            raise ValueError(f"{path}, line {number}: needs `id` and a text `caption`, or a list of texts `captions`")
        if row.get("caption", captions[0]) != captions[0]:
            raise ValueError(f"{path}, line {number}: `caption` is not the first of `captions`")
        pairs.append((str(row["id"]), captions))
    return pairs


def _is_texts(value: Any) -> bool:
    """Whether it is a list of at least one text, and of nothing else."""
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields line number and object of a JSONL file; blank lines are skipped.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is no JSON object; the message names file and line.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number}: not valid JSON ({error.msg})") from error
            if not isinstance(row, dict):
                raise ValueError(f'{path}, line {number}: expected an object like {{"id": ..., "caption": ...}}')
            yield number, row
