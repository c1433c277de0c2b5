"""JSON and YAML files that hold a mapping, with one sentence for what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

FLAT = (
    5000  # brackets, or characters of a line: what is nested deeper could end LibYAML's quick reader, and this process
)


def read_json(path: Path, *, remedy: str = "write it again") -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Args:
        path: The file.
        remedy: What to do about a damaged file.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no JSON, or holds something else.
    """
    try:
        content = json.loads(_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "too deep"
        raise ValueError(f"{path} is damaged: it is no JSON ({reason}); {remedy}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object; {remedy}.")
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; only plain values are made of it.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no YAML, or holds something else.
    """
    text = _text(path)
    shallow = text.count("[") + text.count("{") < FLAT and max(map(len, text.splitlines()), default=0) < FLAT
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if shallow else yaml.SafeLoader
    try:
        content = yaml.load(text, Loader=loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path} is no YAML ({' '.join(str(error).split())}); put it right.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no settings; it must be a YAML mapping.")
    return content


def _text(path: Path) -> str:
    """Read a text file in UTF-8.

    Raises:
        FileNotFoundError: if there is no such file.
        OSError: if it is a folder or may not be read.
        ValueError: if it is no text in UTF-8.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file.")
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is no text in UTF-8 (byte {error.start}); save it in UTF-8, or write it again."
        ) from error
