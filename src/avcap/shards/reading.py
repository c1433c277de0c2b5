"""A clip decoded from its files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from avcap.frontends.base import SAMPLE_RATE
from avcap.media import Media, MediaError, read_media, streams_of
from avcap.shards.item import PEAK, Item, sixteen_bits
from avcap.shards.manifest import Clip

if TYPE_CHECKING:
    from torch import Tensor


def read_item(
    clip: Clip, *, frames: int, size: int, sample_rate: int = SAMPLE_RATE, max_seconds: float | None = None
) -> Item:
    """Decode a clip. A video without sound, or sound without frames, is a whole clip; the other stream is None.

    Args:
        clip: The clip and its files.
        frames: Frames to take, at the middles of equal parts of the clip.
        size: Their height and width in pixels.
        sample_rate: Samples a second of the sound.
        max_seconds: Read at most so many seconds; the frames are spread over them.

    Raises:
        FileNotFoundError: if one of its files is gone.
        MediaError: if a file cannot be decoded, or the clip has neither sound nor frames.
    """
    media = Media(math.nan)
    if clip.audio is not None or (clip.frames and frames):
        media = read_clip(clip, frames=frames, size=size, sample_rate=sample_rate, max_seconds=max_seconds)
    return item_of(clip, media, sample_rate)


def item_of(clip: Clip, media: Media, sample_rate: int = SAMPLE_RATE) -> Item:
    """Return the item of a clip of which :func:`read_clip` gave sound and frames; visual features are read from their file.

    Raises:
        MediaError: if the clip has neither sound, frames nor features.
    """
    item = Item(clip.id, list(clip.captions), media.seconds, frames=media.frames, sample_rate=sample_rate)
    if media.waveform is not None:
        item.waveform = sixteen_bits(media.waveform) / PEAK
    if media.frames is not None:
        item.video_seconds = media.seconds
        item.frames_time = torch.tensor(media.frame_times, dtype=torch.float32)
    if clip.features is not None:
        item.visual_features = _read_features(clip.features)
    if not item.streams:
        raise MediaError(" ".join(media.absent) or f"The clip {clip.id} has neither sound nor frames.")
    return item


def read_clip(
    clip: Clip, *, frames: int, size: int, sample_rate: int = SAMPLE_RATE, max_seconds: float | None = None
) -> Media:
    """Read what a clip lets one hear and see; see :func:`read_item` for the arguments and what is raised."""
    limits = [limit for limit in (clip.seconds, max_seconds) if limit is not None]
    return read_media(
        clip.audio,
        clip.frames,
        frames=frames,
        size=size,
        sample_rate=sample_rate,
        start=clip.start,
        seconds=min(limits, default=None),
    )


def clip_of(path: Path | tuple[Path, Path]) -> Clip:
    """Return the clip of a media file, or of a pair: a file with sound, and one with a video or an image.

    What a file presents is told by its content. The id is the whole name, of a pair both joined by "+".

    Args:
        path: The file, or the pair in any order. Where both have sound, that of the one without a video is heard.

    Raises:
        FileNotFoundError: if a file is not there.
        MediaError: if a file is no media file, or a pair lacks sound or something to see.
    """
    if isinstance(path, Path):
        kinds = streams_of(path)
        if not kinds:
            raise MediaError(f"{path} has neither an audio nor a video track that can be decoded.")
        return Clip(path.name, (), path if "audio" in kinds else None, () if kinds == {"audio"} else (path,))
    heard = sorted((p for p in path if "audio" in streams_of(p)), key=lambda p: len(streams_of(p)))
    seen = [p for p in path if p not in heard[:1] and streams_of(p) & {"video", "image"}]
    if not heard or not seen:
        raise MediaError(f"A pair is a file with sound and an image or video, got {' and '.join(map(str, path))}.")
    return Clip(whole_names([path])[0], (), heard[0], (seen[0],))


def parse_files(words: Sequence[Path]) -> list[Path | tuple[Path, Path]]:
    """Parse the files of a command line; ``sound.wav+image.jpg`` is a pair, unless a file has that name."""
    return [_pair(word) or word for word in words]


def whole_names(files: Sequence[Path | tuple[Path, Path]]) -> list[str]:
    """Return a name for each file: its whole name, of a pair both joined by "+"; one that comes again gets a number.

    >>> whole_names([Path("x/a.avi"), Path("y/a.avi"), (Path("a.ogg"), Path("p.jpg"))])
    ['a.avi', 'a.avi-2', 'a.ogg+p.jpg']
    """
    names: list[str] = []
    for file in files:
        name = file.name if isinstance(file, Path) else "+".join(part.name for part in file)
        numbered = (f"{name}-{k}" for k in count(2))
        names.append(next(n for n in chain([name], numbered) if n not in names))
    return names


def _pair(word: Path) -> tuple[Path, Path] | None:
    parts = str(word).split("+")
    pairs = [(Path("+".join(parts[:k])), Path("+".join(parts[k:]))) for k in range(1, len(parts))]
    if word.exists() or not pairs:
        return None
    return next((pair for pair in pairs if all(file.exists() for file in pair)), pairs[0] if len(pairs) == 1 else None)


def _read_features(path: Path) -> Tensor:
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged header raises whatever Python's parser raises
        raise MediaError(f"{path} is not a readable .npy array ({error}).") from error
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise MediaError(f"{path} must hold numbers [frames, channels], got {array.dtype} {list(array.shape)}.")
    return torch.from_numpy(array.astype(np.float32))
