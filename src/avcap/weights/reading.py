"""Weights files on the disk: where they are, and what tells one from another."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")  # a Hugging Face folder, in order of preference
LONGEST_PATH = 255  # characters; a longer setting is a text


def find_file(source: Path) -> Path:
    """Return the weights file: ``source``, or the one inside a Hugging Face folder.

    Raises:
        FileNotFoundError: if there is neither.
    """
    if source.is_dir():
        for name in FOLDER_FILES:
            if (source / name).is_file():
                return source / name
        raise FileNotFoundError(
            f"the folder {source} has none of {', '.join(FOLDER_FILES)}; name the weights file itself."
        )
    if not source.is_file():
        raise FileNotFoundError(
            f"there is no checkpoint {source}; look at its path, or download it where it is a published one."
        )
    return source


def sha256(file: Path) -> str:
    """Compute the sha256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprints(settings: Any) -> dict[str, str]:
    """Compute the sha256 of every file that settings name, and of every file in a folder that they name."""
    found: dict[str, str] = {}
    queue = [settings]
    while queue:
        value = queue.pop()
        if isinstance(value, dict):
            queue += value.values()
        elif isinstance(value, list | tuple):
            queue += value
        elif isinstance(value, str | Path) and value and len(str(value)) <= LONGEST_PATH:
            path = Path(value)
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
            found.update((str(file), sha256(file)) for file in files if file.is_file())
    return dict(sorted(found.items()))
