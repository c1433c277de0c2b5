"""Caption files as they are published: AudioCaps (v1, v2), AVCap/LAVCap, Clotho, WavCaps, COCO, and plain lists of files."""

from __future__ import annotations

import logging
from pathlib import Path

from avcap.captions.entry import Entry, EntryList
from avcap.captions.table import read_table
from avcap.text_file import decode_text

__all__ = ["Entry", "EntryList", "find_caption_file", "read_captions"]

log = logging.getLogger(__name__)

_TABLES = frozenset({".csv", ".tsv", ".txt"})


def find_caption_file(root: Path, split: str) -> Path | None:
    """Return ``<split>.csv``, ``.tsv`` or ``.json`` (or ``<split>_coco.json`` alone) in ``root``; None if there is none."""
    for name in (f"{split}.csv", f"{split}.tsv", f"{split}.json", f"{split}_coco.json"):
        if (root / name).is_file():
            return root / name
    return None


def read_captions(path: Path) -> EntryList:
    """Read a caption file; rows of one clip are joined, in the order of their first row.

    A JSON file that has ``<stem>_coco.json`` beside it takes all its captions from there. What was mended or left out is
    told in the log and in ``notes`` of the result.

    Args:
        path: A CSV (with commas, semicolons, tabs or ``|``) or JSON file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is empty, damaged or of no known layout, or a row cannot be understood; the message names
            the file, the line or entry, and the remedy.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no caption file {path}.")
    text, note = decode_text(path)
    if path.suffix.lower() in _TABLES:
        entries = read_table(path, text)
    else:
        from avcap.captions.documents import read_document  # pydantic takes its time

        entries = read_document(path, text)
    if note:
        entries.notes.insert(0, note)
    for told in entries.notes:
        log.warning(told)
    if not entries:
        raise ValueError(f"{path} holds no caption.")
    return entries
