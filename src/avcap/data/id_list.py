"""Lists of clip ids in files: which clips of a split count."""

from __future__ import annotations

from pathlib import Path

from avcap.captions import read_captions
from avcap.text_file import read_text

_CAPTIONS = (".csv", ".tsv", ".json")


def read_ids(path: Path) -> dict[str, None]:
    """Read the ids of a list, in order, each once.

    Args:
        path: A file of captions, as ``avcap data prepare`` reads it, by its ending; any other file has an id a line.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no id, or cannot be read; the message names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no list of clips {path}; give a file of captions, or of one id a line.")
    if path.suffix.lower() in _CAPTIONS:
        return {entry.id: None for entry in read_captions(path)}
    lines = [line.strip() for line in read_text(path).splitlines()]
    if not any(lines):
        raise ValueError(f"{path} holds no clip id; give a file of captions, or of one id a line.")
    return {line: None for line in lines if line}
