"""Caption files: AudioCaps CSVs (v1, v2), the AVCap/LAVCap JSON layout, Clotho-style CSVs, and plain lists of files."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from avcap.ids import clip_id

_FILE_COLUMNS = ("file_name", "path", "file")
_NUMBERED = re.compile(r"caption_\d+$")
_MILLISECONDS = re.compile(r"(?P<id>.+)_(?P<start>\d+)_(?P<end>\d+)$")


@dataclass
class Entry:
    """A clip as a caption file names it.

    Attributes:
        id: ``youtube_id`` + "_" + start in seconds, or the file's relative path without its suffix.
        captions: Its captions in the order of the file.
        names: File stems under which its media may lie besides those that follow from the id.
        file: Its relative path, where the caption file gives one.
        youtube_id: YouTube's id, where the caption file gives one.
        start: Start in seconds, where the caption file gives one.
    """

    id: str
    captions: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    file: str | None = None
    youtube_id: str | None = None
    start: float | None = None


def find_caption_file(root: Path, split: str) -> Path | None:
    """``<split>.csv`` or ``<split>.json`` (or ``<split>_coco.json`` alone) in ``root``; None where there is none."""
    for name in (f"{split}.csv", f"{split}.json", f"{split}_coco.json"):
        if (root / name).is_file():
            return root / name
    return None


def read_captions(path: Path) -> list[Entry]:
    """Read a caption file; rows of one clip are joined, in the order of their first row.

    A JSON file that has ``<stem>_coco.json`` beside it takes all its captions from there.

    Args:
        path: A CSV or JSON file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a column or field is missing, or the file is empty or no CSV or JSON.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no caption file {path}.")
    rows = _read_csv(path) if path.suffix.lower() == ".csv" else _read_json(path)
    entries: dict[str, Entry] = {}
    for entry in rows:
        known = entries.setdefault(entry.id, entry)
        if known is not entry:
            known.captions.extend(entry.captions)
            known.names.extend(name for name in entry.names if name not in known.names)
    if not entries:
        raise ValueError(f"{path} holds no caption.")
    return list(entries.values())


def _read_csv(path: Path) -> list[Entry]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        caption_columns = ["caption"] if "caption" in columns else [c for c in columns if _NUMBERED.match(c)]
        file_column = next((c for c in _FILE_COLUMNS if c in columns), None)
        missing = [] if caption_columns else ["caption (or caption_1 ... caption_5)"]
        if file_column is None:
            missing += [c for c in ("youtube_id", "start_time") if c not in columns]
        if missing:
            raise ValueError(
                f"{path} lacks the column {' and '.join(missing)}; it has {', '.join(columns) or 'no columns'}"
                " (a clip is named by youtube_id and start_time, or by file_name)."
            )
        entries = []
        for line, row in enumerate(reader, start=2):
            captions = [text for c in caption_columns if (text := (row[c] or "").strip())]
            if not captions:
                raise ValueError(f"{path}, line {line}: the caption is empty.")
            if file_column is None:
                entries.append(_youtube_entry(path, f"line {line}", row["youtube_id"], row["start_time"], captions))
            else:
                name = (row[file_column] or "").strip()
                if not name:
                    raise ValueError(f"{path}, line {line}: {file_column} is empty.")
                entries.append(Entry(str(PurePosixPath(name).with_suffix("")), captions, file=name))
    return entries


def _read_json(path: Path) -> list[Entry]:
    content = _load_json(path)
    if isinstance(content, dict) and "annotations" in content:
        return _coco_entries(path, content)
    rows = content.get("data") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise ValueError(f"{path} is neither a list of clips nor a COCO caption file (images, annotations).")
    entries = [_json_entry(path, index, row) for index, row in enumerate(rows)]
    coco = path.with_name(f"{path.stem}_coco.json")
    if coco.is_file():
        captions = _coco_captions(coco, _load_json(coco))
        for entry in entries:
            of_video = None if entry.youtube_id is None else captions.get(entry.youtube_id)
            entry.captions = list(captions.get(entry.id) or of_video or entry.captions)
        entries = list({entry.id: entry for entry in entries}.values())
    return entries


def _load_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}).") from error


def _json_entry(path: Path, index: int, row: dict) -> Entry:
    missing = [key for key in ("youtube_id", "start_time", "caption") if key not in row]
    if missing:
        raise ValueError(
            f"{path}, clip {index}: the field {' and '.join(missing)} is missing; it has {', '.join(row)}."
        )
    captions = [row["caption"]] if isinstance(row["caption"], str) else list(row["caption"])
    entry = _youtube_entry(path, f"clip {index}", row["youtube_id"], row["start_time"], captions)
    entry.names = list(dict.fromkeys(PurePosixPath(row[k]).stem for k in ("audio_path", "video_path") if row.get(k)))
    return entry


def _coco_entries(path: Path, content: dict) -> list[Entry]:
    captions = _coco_captions(path, content)
    entries = []
    for image in content.get("images", []):
        name = str(image["id"])
        stems = [PurePosixPath(image[k]).stem for k in ("audio_path", "video_path", "file_name") if image.get(k)]
        times = next((m for stem in stems if (m := _MILLISECONDS.match(stem))), None)
        entry = Entry(name, captions.get(name, []), names=[name, *dict.fromkeys(stems)])
        if times is not None:
            entry.youtube_id, entry.start = times["id"], int(times["start"]) / 1000
            entry.id = clip_id(entry.youtube_id, entry.start)
        entries.append(entry)
    return entries


def _coco_captions(path: Path, content: object) -> dict[str, list[str]]:
    if not isinstance(content, dict) or "annotations" not in content:
        raise ValueError(f"{path} is not a COCO caption file: it has no annotations.")
    captions: dict[str, list[str]] = {}
    for annotation in content["annotations"]:
        captions.setdefault(str(annotation["image_id"]), []).append(annotation["caption"])
    return captions


def _youtube_entry(path: Path, where: str, youtube_id: str, start: str | float, captions: list[str]) -> Entry:
    try:
        seconds = float(start)
    except (TypeError, ValueError):
        raise ValueError(f"{path}, {where}: start_time {start!r} is not a number of seconds.") from None
    youtube_id = str(youtube_id).strip()
    if not youtube_id:
        raise ValueError(f"{path}, {where}: youtube_id is empty.")
    return Entry(clip_id(youtube_id, seconds), captions, youtube_id=youtube_id, start=seconds)
