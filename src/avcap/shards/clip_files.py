"""Files of clips by their names: how names are compared, what they say, and which of several files has which stream."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from unicodedata import normalize

from avcap.media import AUDIO_SUFFIXES, IMAGE_SUFFIXES, VIDEO_SUFFIXES, MediaError, streams_of

log = logging.getLogger(__name__)

FEATURE_SUFFIXES = frozenset({".npy"})
_KINDS = {
    **dict.fromkeys(AUDIO_SUFFIXES, "audio"),
    **dict.fromkeys(VIDEO_SUFFIXES, "video"),
    **dict.fromkeys(IMAGE_SUFFIXES, "image"),
    **dict.fromkeys(FEATURE_SUFFIXES, "feature"),
}
_NO_MEDIA = re.compile(
    r"\.(csv|tsv|txt|jsonl?|xml|html|md|ya?ml|log|nfo|description|vtt|srt|ass|lrc|py|sh|zip|gz|tar|npz|pth?|pkl|ckpt|h5|hdf5"
    r"|safetensors|parquet|bin|part|partial|ytdl|tmp|lock)$",
    re.IGNORECASE,
)
_MILLISECONDS = re.compile(r"(?P<id>.+)_(?P<start>\d+)_\d+$")
_SECONDS = re.compile(r"(?P<id>.+)_(?P<start>\d+(?:\.\d+)?)$")


def walk_files(folder: Path, exclude: Path | None) -> Iterator[tuple[Path, str]]:
    """Yield the regular files below a folder and their relative paths, each real folder once, linked folders last."""
    seen = set() if exclude is None or not exclude.exists() else {_identity(exclude)}
    todo, linked = [("", folder)], list[tuple[str, Path]]()
    while todo or linked:
        place, path = todo.pop() if todo else linked.pop(0)
        try:
            if _identity(path) in seen:
                continue
            seen.add(_identity(path))
            with os.scandir(path) as listing:
                below = sorted((item for item in listing if not item.name.startswith(".")), key=lambda item: item.name)
        except OSError as error:
            log.warning("The folder %s cannot be read (%s) and is left out.", path, error.strerror)
            continue
        folders: list[tuple[str, Path]] = []
        for item in below:
            try:
                if item.is_file():
                    yield path / item.name, place + item.name
                elif item.is_dir():
                    (linked if item.is_symlink() else folders).append((f"{place}{item.name}/", path / item.name))
            except OSError:
                log.warning("The link %s leads in a circle and is left out.", path / item.name)
        todo += reversed(folders)


def suffix_kind(path: Path) -> str | None:
    """Return "audio", "video", "image" or "feature" by the suffix of a file, else "other"; None for what is no media."""
    suffix = path.suffix.lower()
    return _KINDS.get(suffix) or (None if _NO_MEDIA.match(suffix) else "other")


def compared_name(name: str) -> str:
    """Return a name as it is compared: in normal form C; bytes that are no UTF-8 as Western European letters."""
    if not name.isprintable():
        name = os.fsencode(name).decode("cp1252", "replace") if any("\udc80" <= c <= "\udcff" for c in name) else name
    return normalize("NFC", name)


def aliases_of(stem: str) -> list[str]:
    """Return the stem, and the clip ids that it may stand for by id and start time."""
    aliases = [stem]
    if match := _MILLISECONDS.match(stem):
        aliases.append(at_start(match["id"], int(match["start"])))
    if match := _SECONDS.match(stem):
        aliases.append(at_start(match["id"], float(match["start"]) * 1000))
    return aliases


def at_start(name: str, milliseconds: float) -> str:
    """Return the key under which a clip of a start is looked up."""
    return f"{name}@{round(milliseconds)}ms"


def tells_start(stem: str, start: float | None) -> bool:
    """Return whether a name says that its file begins at a start."""
    told = f"@{round((start or 0.0) * 1000)}ms"
    return any(alias.endswith(told) for alias in aliases_of(stem))


def choose_files(files: list[Path], pictures: tuple[Path, ...]) -> tuple[Path | None, Path | None, tuple[Path, ...]]:
    """Choose the files of sound and of video, and the images if there is no video, from those of a clip."""
    sounds, films, others = ([p for p in files if suffix_kind(p) == kind] for kind in ("audio", "video", "other"))
    audio = sounds[0] if sounds else None
    video = films[0] if films else None
    if len(films) > 1 or (films and pictures):
        video = next((film for film in films if "video" in _streams_of(film)), None)
        heard = [] if audio else [film for film in films if "audio" in _streams_of(film)]
        audio = audio or min(heard, key=lambda film: ("video" in _streams_of(film), film != video), default=None)
        if audio is None and video is None and not pictures:
            video = films[0]  # reading it tells what is wrong
    elif audio is None:
        audio = video
    if others and (audio is None or (video is None and not pictures)):
        for path in others:
            streams = _streams_of(path)
            audio = path if audio is None and "audio" in streams else audio
            video = path if video is None and not pictures and "video" in streams else video
            pictures = (path,) if video is None and not pictures and "image" in streams else pictures
        if audio is None and video is None and not pictures:
            audio = video = others[0]
    return audio, video, pictures


def _streams_of(path: Path) -> frozenset[str]:
    """Return what a file presents; nothing if it cannot be opened."""
    try:
        return streams_of(path)
    except (MediaError, OSError):
        return frozenset()


def _identity(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_dev, facts.st_ino
