"""The clips of a data set, and the files of their audio, frames and features."""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from avcap.captions import Entry
from avcap.captions.entry import stem_of
from avcap.ids import file_name, name_some
from avcap.media import MediaError, duration
from avcap.shards.clip_files import (
    aliases_of,
    at_start,
    choose_files,
    compared_name,
    suffix_kind,
    tells_start,
    walk_files,
)

log = logging.getLogger(__name__)

CLIP_SECONDS = 10.0  # of AudioCaps: how much of a whole recording is a clip
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
        start: Second of the files at which the clip starts; None: they hold the clip alone.
        seconds: How long it goes on from there.
        if_longer: Whether ``start`` counts only if the file is longer than the clip; see :func:`settled`.
    """

    id: str
    captions: tuple[str, ...]
    audio: Path | None = None
    frames: tuple[Path, ...] = ()
    features: Path | None = None
    start: float | None = None
    seconds: float | None = None
    if_longer: bool = False

    @property
    def found(self) -> bool:
        """Whether there is any file of it."""
        return self.audio is not None or bool(self.frames) or self.features is not None

    @property
    def media(self) -> tuple[Path, ...]:
        """The sound and video files, which a start can cut."""
        files = (*([] if self.audio is None else [self.audio]), *self.frames)
        return tuple(file for file in dict.fromkeys(files) if suffix_kind(file) != "image")


class MediaIndex:
    """The media files below some folders, listed once without opening them.

    A clip's files are found under the stems ``<id>_<start>``, ``<id>_<start ms>_<end ms>`` and ``<id>``, with or
    without a leading ``Y``, in any folder. Frames may also be numbered: ``frame_<i>/<stem>.jpg`` or ``<stem>/*.jpg``.
    Names are compared in Unicode's normal form C. Hidden files, and what is no regular file, are left out.

    Args:
        folders: Where to look; an earlier folder wins.
        exclude: A folder to leave out.

    Raises:
        FileNotFoundError: if a folder is not there.
    """

    def __init__(self, folders: list[Path], *, exclude: Path | None = None) -> None:
        self.folders = folders
        self._files: dict[str, list[Path]] = defaultdict(list)
        self._features: dict[str, Path] = {}
        self._pictures: dict[str, list[tuple[int, str, Path]]] = defaultdict(list)
        for folder in folders:
            if not folder.is_dir():
                raise FileNotFoundError(f"There is no folder {folder}.")
            for path, relative in walk_files(folder, exclude):
                self._add(folder, path, compared_name(relative))

    def find(self, entry: Entry, *, others: Collection[str] = ()) -> Clip:
        """Return the clip of a caption-file entry, with the files that belong to it (perhaps none).

        Headers are read where several files may hold one stream, or only a file of an unknown suffix may.

        Args:
            entry: The entry.
            others: All YouTube ids of the caption file, so that ``Y<id>`` is not taken for another's.
        """
        stems = self._stems(entry, others)
        files = list(dict.fromkeys(path for stem in stems for path in self._files.get(stem, ())))
        files = files or self._on_disk(entry)
        if entry.file is not None:
            name = compared_name(entry.file).rpartition("/")[2]
            files = sorted(files, key=lambda path: compared_name(path.name) != name)
            if entry.exact:
                files = [path for path in files if name in (compared_name(path.name), compared_name(path.stem))]
                stems = []
        images = [path for path in files if suffix_kind(path) == "image"]
        numbered = next((self._pictures[s] for s in stems if s in self._pictures), None)
        pictures = tuple(p for *_, p in sorted(numbered)) if numbered else tuple(images[:1])
        audio, video, pictures = choose_files(files, pictures)
        names = [*stems, file_name(entry.id), f"./{entry.id}", f"./visual_feature/{entry.id}"]
        return Clip(
            id=entry.id,
            captions=tuple(entry.captions),
            audio=audio,
            frames=pictures if video is None else (video,),
            features=next((self._features[name] for name in names if name in self._features), None),
        )

    def rivals(self, entry: Entry) -> list[Path]:
        """Return the files of an entry's name if there are several and none lies where the entry says."""
        if entry.file is None or "/" in entry.file:
            return []
        name = compared_name(entry.file)
        placed = any((f"./{place}/{name}" if place else f"./{name}") in self._files for place in _PLAIN_FOLDERS)
        same = [path for path in self._files.get(stem_of(name), ()) if compared_name(path.name) == name]
        return same if len(same) > 1 and not placed else []

    def _add(self, folder: Path, path: Path, relative: str) -> None:
        kind = suffix_kind(path)
        if kind is None:
            return
        bare = relative.removesuffix(path.suffix)
        stem = bare.rpartition("/")[2]
        frame_folder = _FRAME_FOLDER.match(path.parent.name)
        if kind == "image" and path.parent != folder and path.parent.name not in _PLAIN_FOLDERS:
            of, order = (stem, int(frame_folder[1])) if frame_folder else (compared_name(path.parent.name), 0)
            natural = re.sub(r"\d+", lambda m: m[0].zfill(9), stem)
            for alias in aliases_of(of):
                self._pictures[alias].append((order, natural, path))
            if frame_folder:
                return
        for alias in (f"./{relative}", f"./{bare}", *aliases_of(stem)):
            if kind == "feature":
                self._features.setdefault(alias, path)
            else:
                self._files[alias].append(path)

    def _stems(self, entry: Entry, others: Collection[str]) -> list[str]:
        if entry.file is not None:
            file = compared_name(entry.file)
            named = dict.fromkeys((file, file.strip()))
            stems = [f"./{place}/{name}" if place else f"./{name}" for name in named for place in _PLAIN_FOLDERS]
            bare = [stem_of(stem) for stem in stems]
            anywhere = [name for name in (file, stem_of(file)) if "/" not in name]
            names = [] if entry.exact else [compared_name(name) for name in entry.names]
            return [*stems, *bare, *anywhere, *names]
        stems = [compared_name(name) for name in entry.names]
        if entry.youtube_id is not None and entry.start is not None:
            prefixed = f"Y{entry.youtube_id}"
            ids = [entry.youtube_id, *([] if prefixed in others else [prefixed])]
            stems += [at_start(name, entry.start * 1000) for name in ids]
            stems += ids
        return stems

    def _on_disk(self, entry: Entry) -> list[Path]:
        """Look where the caption file says, which may lead through a link that was not followed."""
        if entry.file is None:
            return []
        paths = (folder / place / entry.file for folder in self.folders for place in _PLAIN_FOLDERS)
        return [path for path in paths if os.path.isfile(path)][:1]  # noqa: PTH113 (False for a name that is too long)


def find_clips(entries: Sequence[Entry], index: MediaIndex) -> tuple[list[Clip], list[str]]:
    """Look up all entries of a split.

    A recording under a bare YouTube id (or in a file whose name does not tell the start) that several clips are parts of is
    cut at each one's start. If only one clip is, the length of the file decides; see :func:`settled`.

    Returns:
        The clips of which a file was found, in order, and the ids of the others. Missing clips are normal: AudioCaps
        has lost about 4 %.
    """
    youtube_ids = {entry.youtube_id for entry in entries if entry.youtube_id is not None}
    clips = [index.find(entry, others=youtube_ids) for entry in entries]
    if rivals := [files for entry in entries if (files := index.rivals(entry))]:
        log.warning(
            "%d clips have several files of their name, of which the first is read (%s); name the folder in the caption file.",
            len(rivals),
            ", ".join(map(str, rivals[0][:2])),
        )
    starts: dict[Path, set[float]] = defaultdict(set)
    for entry, clip in zip(entries, clips, strict=True):
        for file in _whole(entry, clip):
            starts[file].add(entry.start or 0.0)
    shared = {file for file, several in starts.items() if len(several) > 1}
    unfit: list[str] = []
    for place, (entry, clip) in enumerate(zip(entries, clips, strict=True)):
        whole = _whole(entry, clip)
        if whole & shared & {*clip.frames, clip.features} - {*clip.media}:
            unfit.append(clip.id)
            clip = replace(
                clip,
                frames=tuple(file for file in clip.frames if file in clip.media or file not in shared),
                features=None if clip.features in shared else clip.features,
            )
        if whole & {*clip.media}:
            certain = {*clip.media} <= shared
            clip = replace(clip, start=entry.start, seconds=CLIP_SECONDS, if_longer=not certain)
        clips[place] = clip
    if unfit:
        log.warning(
            "%d clips share an image or features that cannot be of more than one of them, and get none: %s.",
            len(unfit),
            name_some(unfit),
        )
    return [clip for clip in clips if clip.found], [clip.id for clip in clips if not clip.found]


def settled(clip: Clip) -> Clip:
    """Decide by the length of its files whether a clip is a part of them or all of them.

    A file under a bare YouTube id may hold the clip alone, or the whole recording: it is the clip if it is at most a second
    longer than one.

    Raises:
        FileNotFoundError: if a file is gone.
        MediaError: if a file cannot be opened, or one holds the recording and the other the clip.
    """
    if not clip.if_longer or clip.seconds is None:
        return clip
    alone = {file: tells_start(file.stem, clip.start) or duration(file) <= clip.seconds + 1 for file in clip.media}
    if len(set(alone.values())) > 1:
        whole, part = (next(file for file, short in alone.items() if short is wanted) for wanted in (False, True))
        raise MediaError(f"{whole} holds more than the clip {clip.id}, and {part} the clip alone; cut {whole.name}.")
    if all(alone.values()):
        return replace(clip, start=None, seconds=None, if_longer=False)
    return replace(clip, if_longer=False)


def _whole(entry: Entry, clip: Clip) -> set[Path]:
    """Return the files of a clip whose name does not tell its start."""
    if entry.start is None:
        return set()
    files = {*clip.media, *clip.frames, *([clip.features] if clip.features else [])}
    numbered = {*clip.frames} if len(clip.frames) > 1 else set()
    return {
        f
        for f in files
        if not tells_start(f.stem, entry.start) and not (f in numbered and tells_start(f.parent.name, entry.start))
    }
