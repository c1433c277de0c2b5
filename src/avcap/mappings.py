"""JSON and YAML files that hold a mapping, with one sentence for what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from avcap.text_file import read_text

FLAT = 5000  # brackets, or characters of a line: deeper nesting could end LibYAML's quick reader, and this process


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
        content = json.loads(read_text(path))
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
    text = read_text(path)
    shallow = text.count("[") + text.count("{") < FLAT and max(map(len, text.splitlines()), default=0) < FLAT
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if shallow else yaml.SafeLoader
    try:
        content = yaml.load(text, Loader=loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path} is no YAML ({' '.join(str(error).split())}); put it right.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no settings; it must be a YAML mapping.")
    return content
