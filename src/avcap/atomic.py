"""Atomic file writing: a file is complete or absent, even if the writing process is killed."""

from __future__ import annotations

from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8 beside its place, then move it there.

    Args:
        path: The file; folders are made. A file that is there already is replaced.
        text: Its content.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.partial")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
