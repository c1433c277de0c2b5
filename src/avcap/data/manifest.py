"""The clips of a data set, and the files of their audio, frames and features."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from avcap.data.captions import Entry
from avcap.data.media import AUDIO_SUFFIXES, IMAGE_SUFFIXES, VIDEO_SUFFIXES

log = logging.getLogger(__name__)

FEATURE_SUFFIXES = frozenset({".npy"})
_KINDS = {
    **dict.fromkeys(AUDIO_SUFFIXES, "audio"),
    **dict.fromkeys(VIDEO_SUFFIXES, "video"),
    **dict.fromkeys(IMAGE_SUFFIXES, "image"),
    **dict.fromkeys(FEATURE_SUFFIXES, "feature"),
}
_MILLISECONDS = re.compile(r"(?P<id>.+)_(?P<start>\d+)_\d+$")
_SECONDS = re.compile(r"(?P<id>.+)_(?P<start>\d+(?:\.\d+)?)$")
_FRAME_FOLDER = re.compile(r"frame_?(\d+)$")
_PLAIN_FOLDERS = ("", "videos", "video", "waveforms", "audio", "audios", "frames", "visual_feature")


@dataclass(frozen=True)
class Clip:
    """A clip whose files were found.

    Attributes:
        id: ``youtube_id`` + "_" + start in seconds, or the file's relative path without its suffix.
        captions: Its captions.
        audio: The file its sound is read from.
        frames: One video, or its frames in order.
        features: Visual features made beforehand, an array ``[N, C]``.
        start: The clip begins so many seconds after the beginning of its files; None: at it.
        seconds: The clip is at most so long; None: to the end of its files.
    """

    id: str
    captions: tuple[str, ...]
    audio: Path | None = None
    frames: tuple[Path, ...] = ()
    features: Path | None = None
    start: float | None = None
    seconds: float | None = None

    @property
    def found(self) -> bool:
        """Whether there is any file of it."""
        return self.audio is not None or bool(self.frames) or self.features is not None


class MediaIndex:
    """The media files below some folders, listed once.

    A clip's files are found under the stems ``<id>_<start>``, ``<id>_<start ms>_<end ms>`` and ``<id>``, with or
    without a leading ``Y``, in any folder. Frames may also be numbered: ``frame_<i>/<stem>.jpg`` or ``<stem>/*.jpg``.

    Args:
        folders: Where to look; an earlier folder wins.
        exclude: A folder to leave out.

    Raises:
        FileNotFoundError: if a folder is not there.
    """

    def __init__(self, folders: list[Path], *, exclude: Path | None = None) -> None:
        self.folders = folders
        self._files: dict[str, dict[str, Path]] = {kind: {} for kind in ("audio", "video", "image", "feature")}
        self._pictures: dict[str, list[tuple[int, str, Path]]] = {}
        for folder in folders:
            if not folder.is_dir():
                raise FileNotFoundError(f"There is no folder {folder}.")
            for parent, below, names in os.walk(folder, followlinks=True):
                below[:] = sorted(b for b in below if not b.startswith(".") and Path(parent, b) != exclude)
                for name in sorted(names):
                    self._add(folder, Path(parent, name))

    def find(self, entry: Entry) -> Clip:
        """Return the clip of a caption-file entry, with the files that belong to it (perhaps none)."""
        stems = self._stems(entry)
        audio, video, image, feature = (self._first(kind, stems) for kind in ("audio", "video", "image", "feature"))
        pictures: tuple[Path, ...] = ()
        if video is None:
            numbered = next((self._pictures[s] for s in stems if s in self._pictures), None)
            pictures = tuple(p for *_, p in sorted(numbered)) if numbered else ((image,) if image else ())
        return Clip(
            id=entry.id,
            captions=tuple(entry.captions),
            audio=audio or video,
            frames=pictures if video is None else (video,),
            features=feature,
        )

    def _add(self, folder: Path, path: Path) -> None:
        kind = _KINDS.get(path.suffix.lower())
        if kind is None:
            return
        relative = path.relative_to(folder).with_suffix("").as_posix()
        frame_folder = _FRAME_FOLDER.match(path.parent.name)
        if kind == "image" and path.parent != folder and path.parent.name not in _PLAIN_FOLDERS:
            stem, order = (path.stem, int(frame_folder[1])) if frame_folder else (path.parent.name, 0)
            natural = re.sub(r"\d+", lambda m: m[0].zfill(9), path.stem)
            for alias in _aliases(stem):
                self._pictures.setdefault(alias, []).append((order, natural, path))
            if frame_folder:
                return
        for alias in (f"./{relative}", *_aliases(path.stem)):
            self._files[kind].setdefault(alias, path)

    def _first(self, kind: str, stems: list[str]) -> Path | None:
        return next((self._files[kind][stem] for stem in stems if stem in self._files[kind]), None)

    def _stems(self, entry: Entry) -> list[str]:
        if entry.file is not None:
            relative = Path(entry.file).with_suffix("").as_posix()
            places = [f"./{place}/{relative}" if place else f"./{relative}" for place in _PLAIN_FOLDERS]
            return [*places, *([] if "/" in relative else [relative])]
        stems = list(entry.names)
        if entry.youtube_id is not None and entry.start is not None:
            ids = (entry.youtube_id, f"Y{entry.youtube_id}")
            stems += [_at(name, entry.start * 1000) for name in ids]
            stems += ids
        return stems


def find_clips(entries: list[Entry], index: MediaIndex) -> tuple[list[Clip], list[str]]:
    """Look up all entries of a split.

    Returns:
        The clips of which a file was found, in order, and the ids of the others. Missing clips are normal: AudioCaps
        has lost about 4 %.
    """
    clips = [index.find(entry) for entry in entries]
    return [clip for clip in clips if clip.found], [clip.id for clip in clips if not clip.found]


def _aliases(stem: str) -> list[str]:
    """Return the stem, and the clip ids that it may stand for by id and start time."""
    aliases = [stem]
    if match := _MILLISECONDS.match(stem):
        aliases.append(_at(match["id"], int(match["start"])))
    if match := _SECONDS.match(stem):
        aliases.append(_at(match["id"], float(match["start"]) * 1000))
    return aliases


def _at(name: str, milliseconds: float) -> str:
    return f"{name}@{round(milliseconds)}ms"
