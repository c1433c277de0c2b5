"""What a caption file says of a clip, and what makes it that clip: its id, its file, its start."""

from __future__ import annotations

import math
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from unicodedata import normalize

from avcap.ids import clip_id, name_some

_SECONDS = re.compile(r"\d+(\.\d*)?(e[+-]?\d+)?$", re.ASCII | re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LATEST = 10_000_000.0  # seconds: later than any recording goes on
MEDIA_SUFFIX = re.compile(r"(?<=[^/])\.(?!\d+$)\w{1,5}$")  # "clip v1.2" has none


@dataclass
class Entry:
    """An entry of a caption file.

    Attributes:
        id: ``youtube_id`` + "_" + start in seconds, or the file's relative path without its suffix. The suffix stays, and the
            start is added, where the caption file names several clips by that path.
        captions: Its captions in the order of the file.
        names: File stems under which its media may lie besides those that follow from the id.
        file: Its relative path, where the caption file gives one.
        youtube_id: YouTube's id, where the caption file gives one.
        start: Start in seconds, where the caption file gives one.
        exact: Whether only the file of that very name is meant, because another clip has its stem.
    """

    id: str
    captions: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    file: str | None = None
    youtube_id: str | None = None
    start: float | None = None
    exact: bool = False


class EntryList(list[Entry]):
    """The clips of a caption file.

    Attributes:
        notes: A sentence for each sort of thing that was mended or left out, with how often and where.
    """

    def __init__(self, entries: Iterable[Entry] = (), notes: Iterable[str] = ()) -> None:
        super().__init__(entries)
        self.notes = list(notes)


def youtube_entry(where: str, youtube_id: str, start: str | float, captions: list[str]) -> Entry:
    """Return the entry of a clip of YouTube.

    Args:
        where: What messages call its place.
        youtube_id: YouTube's id.
        start: Start in seconds.
        captions: Its captions.

    Raises:
        ValueError: if the id is empty or holds a blank, or the start is no number of seconds.
    """
    name = checked_id(where, "youtube_id", youtube_id.strip())
    if " " in name:
        raise ValueError(
            f"{where}: youtube_id {name!r} holds a blank; put the caption of a row that is broken in quotes."
        )
    seconds = checked_start(where, start)
    return Entry(clip_id(name, seconds), captions, youtube_id=name, start=seconds)


def is_seconds(value: str | float) -> bool:
    """Return whether a value is a number of seconds at which a clip may start."""
    if isinstance(value, str):
        return _SECONDS.match(value.strip()) is not None and float(value) < _LATEST
    return math.isfinite(value) and 0 <= value < _LATEST


def checked_start(where: str, start: str | float) -> float:
    """Return a start as a number.

    Raises:
        ValueError: if it is none, negative, infinite or not a number of seconds that a recording can have.
    """
    if not is_seconds(start):
        raise ValueError(f"{where}: start_time {start!r} is not a number of seconds; write one, such as 30.")
    return float(start)


def checked_id(where: str, column: str, name: str) -> str:
    """Return an id in Unicode's normal form C.

    Raises:
        ValueError: if it is empty or holds a control character.
    """
    if not name.strip():
        raise ValueError(f"{where}: {column} is empty.")
    if _CONTROL.search(name):
        raise ValueError(f"{where}: {column} {name!r} holds a control character; take it out.")
    return normalize("NFC", name)


def checked_file(where: str, column: str, name: str, folder: Path) -> str:
    """Return the path of a clip's file, relative to the folder of the media, with ``/`` between its parts.

    Raises:
        ValueError: if it is empty, or lies outside of the folder.
    """
    checked_id(where, column, name)
    path = name if "/" in name else name.replace("\\", "/")
    if path.startswith("/"):
        known = [f"{place}/" for place in {str(folder.absolute()), str(folder.resolve())}]
        path = next((path.removeprefix(place) for place in known if path.startswith(place)), path)
    path = posixpath.normpath(path)
    if path.startswith(("/", "../")) or path in (".", "..") or PureWindowsPath(path).is_absolute():
        raise ValueError(
            f"{where}: {column} {name!r} leaves the folder; name the file relative to the folder of the media (--media)."
        )
    return path


def stem_of(file: str) -> str:
    """Return a relative path without its suffix, in Unicode's normal form C."""
    return normalize("NFC", MEDIA_SUFFIX.sub("", file))


def tell_apart(path: Path, entries: Sequence[Entry]) -> None:
    """Give clips that share a stem, or a file, ids of their own; clips that are named by a file only.

    Args:
        path: The caption file, for messages.
        entries: Its entries; one whose id is not its file's stem keeps its id.

    Raises:
        ValueError: if two clips would still have one id.
    """
    files: dict[str, set[str]] = defaultdict(set)
    starts: dict[str, set[float | None]] = defaultdict(set)
    for entry in entries:
        if entry.file is not None:
            files[stem_of(entry.file)].add(normalize("NFC", entry.file))
            starts[normalize("NFC", entry.file)].add(entry.start)
    clips: dict[str, tuple[str, float | None]] = {}
    for entry in entries:
        if entry.file is None:
            continue
        file, named = normalize("NFC", entry.file), entry.id == stem_of(entry.file)
        entry.exact = len(files[stem_of(entry.file)]) > 1
        if named and entry.exact:
            entry.id = file
        if named and len(starts[file]) > 1 and entry.start is not None:
            entry.id = clip_id(entry.id, entry.start)
        first = clips.setdefault(entry.id, (file, entry.start))
        if first != (file, entry.start):
            raise ValueError(f"{path}: {first[0]} and {file} would be one clip, {entry.id}; rename one of the files.")


def joined(entries: Iterable[Entry]) -> list[Entry]:
    """Join the entries of one id, in the order of the first of each."""
    found: dict[str, Entry] = {}
    for entry in entries:
        known = found.setdefault(entry.id, entry)
        if known is not entry:
            known.captions.extend(entry.captions)
            known.names.extend(name for name in entry.names if name not in known.names)
    return list(found.values())


def counted(path: Path, places: Sequence[str], one: str, several: str) -> list[str]:
    """Return a note about some places of a file, none where there are none.

    Args:
        path: The file.
        places: The lines or entries.
        one: What is said of one.
        several: What is said of several, with ``{}`` for how many.
    """
    if not places:
        return []
    said = one if len(places) == 1 else several.format(len(places))
    return [f"{path}: {said}: {name_some(places)}."]
