"""The inputs of a run as one hash of contents; a new time stamp of a file changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from avcap.config_files import whole_config

LARGE = 16 * 2**20  # bytes; of a larger file (weights) size and time stand for the contents


def fingerprint(configs: Sequence[Path], *, apart: Path | None = None) -> str:
    """Hash configs, base and overlays in order, and the files that they name.

    Comments, the order of keys and ``trainer.default_root_dir`` (every cell has a folder of its own) do not count. Of a
    folder that a config names, the files in it count (a tokenizer), and each ``info.json`` one level below (the splits of
    the shards). Code does not count, nor does what lies in the folder ``apart``.

    Returns:
        16 hexadecimal digits.

    Raises:
        FileNotFoundError: if a config is not there.
        ValueError: if one is no YAML mapping.
    """
    documents = [_read(path) for path in configs]
    named = {}
    for config, document in zip(configs, documents, strict=True):
        for text in _texts(document):
            path = _find(text, config.parent)
            if path is not None and (apart is None or not path.resolve().is_relative_to(apart.resolve())):
                named[text] = list(contents(path))
    whole = json.dumps([documents, named], sort_keys=True, default=str)
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _read(path: Path) -> dict[str, Any]:
    document = whole_config(path)
    if isinstance(document.get("trainer"), dict):
        document["trainer"].pop("default_root_dir", None)
    return document


def _texts(value: Any) -> Iterator[str]:
    """Return all strings in a document that may be paths."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, str) and "/" in value and "\n" not in value and len(value) < 1024:
        yield value


def _find(text: str, folder: Path) -> Path | None:
    """Return the path that ``text`` names, relative to the working folder or to its config; None if it names none."""
    return next((path for path in (Path(text), folder / text) if path.exists()), None)


def contents(path: Path) -> Iterator[tuple[str, str]]:
    """Yield name and hash of a file, or of the files that count in a folder."""
    if path.is_file():
        yield path.name, _hash(path)
        return
    files = [*path.iterdir(), *path.glob("*/info.json")]
    for file in sorted(file for file in files if file.is_file()):
        yield str(file.relative_to(path)), _hash(file)


def _hash(path: Path) -> str:
    facts = path.stat()
    if facts.st_size > LARGE:
        return f"{facts.st_size} {facts.st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()
