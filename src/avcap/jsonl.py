"""JSON texts and JSON lines: one object a line."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from avcap.atomic import replacing
from avcap.text_file import read_text

_HALF = re.compile("[\ud800-\udfff]")


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a JSONL file in one step, so that no half file is left.

    Args:
        path: The file; folders are made.
        rows: An object a line.
    """
    with replacing(path) as fresh, fresh.open("w", encoding="utf-8") as file:
        file.writelines(map(json_line, rows))


def json_line(row: Mapping[str, Any]) -> str:
    """Return an object as a line of JSON that UTF-8 can hold, whatever odd bytes a file's name had."""
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace").decode() + "\n"


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and object of a JSONL file; blank lines are skipped.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is no JSON object; the message names file and line.
    """
    for number, line in enumerate(io.StringIO(read_text(path)), start=1):
        if not line.strip():
            continue
        row = parse_json(line, f"{path}, line {number}", odd_names=True)
        if not isinstance(row, dict):
            raise ValueError(f'{path}, line {number}: expected an object like {{"id": ..., "caption": ...}}')
        yield number, row


def is_text(value: object) -> TypeGuard[str]:
    """Return whether a value is a text with a word in it, and of whole characters."""
    return isinstance(value, str) and bool(value.strip()) and not _HALF.search(value)


def parse_json(text: str, where: str, *, odd_names: bool = False) -> Any:
    """Read JSON of which nothing may be lost.

    Args:
        text: The JSON.
        where: What messages call it: a file, or a file and a line.
        odd_names: Let bytes of file names that are no UTF-8 pass, as Python writes them (``\\udce9``).

    Raises:
        ValueError: If it is no JSON, is nested too deeply, names a field twice, or holds half a character.
    """
    try:
        content = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}" if "\n" in text.strip() else f"column {error.colno}"
        raise ValueError(f"{where}: not valid JSON ({error.msg}, {place})") from error
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ValueError(f"{where}: not valid JSON ({reason})") from error
    halves = _HALF.findall(json.dumps(content, ensure_ascii=False)) if "\\u" in text else []
    if any(not (odd_names and "\udc80" <= half <= "\udcff") for half in halves):
        raise ValueError(f"{where}: an escape such as \\ud83d is half a character; write the whole character")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(n for n in names if names.count(n) > 1)} comes twice")
    return found
