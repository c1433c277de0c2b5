"""What a clip lets one hear and see, of whatever files it is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from avcap.media.files import MediaError, NoAudio, NoVideo, opened_image, streams_of
from avcap.media.scan import Scan
from avcap.media.stills import Animation, read_image

if TYPE_CHECKING:
    from torch import Tensor

LEFT_OUT = 0.1  # seconds: what an encoder may add to the end of a file is not worth a note


@dataclass
class Media:
    """What a clip lets one hear and see. Its time begins with what is presented first, or at ``start``.

    Attributes:
        seconds: How long it lasts: to the end of the longer track; NaN for images without sound.
        waveform: ``[samples]`` float32 mono over all of ``seconds``, with silence where the track has nothing; None without sound.
        frames: ``[N, 3, size, size]`` uint8 RGB, on screen at ``frame_times``; None where there are none or none was asked for.
        frame_times: The middles of N equal parts of the clip, in seconds; NaN where ``seconds`` is.
        audio_stream: Number of the audio track in its file; None without.
        video_stream: Number of the video track in its file; None without.
        starts: When each track begins, in seconds after the first one of its file.
        absent: Why there is no sound, or are no frames.
        notes: What is worth knowing of the files.
        more: Whether the files go on after the clip.
    """

    seconds: float
    waveform: Tensor | None = None
    frames: Tensor | None = None
    frame_times: list[float] = field(default_factory=list)
    audio_stream: int | None = None
    video_stream: int | None = None
    starts: dict[str, float] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    more: bool = False


def read_media(
    audio: Path | None,
    visual: Sequence[Path] = (),
    *,
    frames: int,
    size: int,
    sample_rate: int = 16_000,
    start: float | None = None,
    seconds: float | None = None,
) -> Media:
    """Read what a clip lets one hear and see.

    Sound and frames of one file are on its clock. Two files both begin with what they present first. N images are spread evenly
    over the clip.

    Args:
        audio: The file of the sound.
        visual: One video (perhaps the same file), one image, or the images of the clip in order.
        frames: Number of frames N; 0 reads none.
        size: Their height and width in pixels.
        sample_rate: Samples a second of the sound.
        start: The clip begins so many seconds after the beginning of the files; None: at it.
        seconds: The clip is at most so long; None: to the end.

    Raises:
        FileNotFoundError: if a file is not there.
        MediaError: if a file cannot be read, or ends before ``start``.
    """
    if size < 1 or frames < 0 or (start or 0) < 0 or (seconds is not None and not seconds > 0):
        raise ValueError(
            f"size and seconds must be positive, start and frames not negative, got {size}, {seconds}, {start}, {frames}."
        )
    begin = start or 0.0
    window = (sample_rate, begin, seconds)
    same = audio is not None and list(visual) == [audio]
    heard = None if audio is None else Scan(audio, *window, audio=True, video=same)
    seen: Scan | _Images | Animation | None = heard
    if not same:
        seen = _open_visual(visual, *window) if visual else None
    sources = [source for source in (heard, None if same else seen) if source is not None]
    media = Media(math.nan)
    ends = [source.seconds for source in sources if not math.isnan(source.seconds)]
    if ends:
        if begin and begin >= max(ends):
            names = " and ".join(str(source.path) for source in sources)
            raise MediaError(f"The clip begins at {begin:g} s, but {names} ends at {max(ends):.3f} s.")
        media.seconds = min(max(ends) - begin, math.inf if seconds is None else seconds)
        media.more = max(ends) - begin > media.seconds + LEFT_OUT
    if heard is not None:
        try:
            media.waveform = heard.waveform(begin, media.seconds)
            media.audio_stream = heard.audio_stream
        except NoAudio as error:
            media.absent.append(str(error))
    if seen is not None and frames:
        times = [(k + 0.5) * media.seconds / frames for k in range(frames)]
        try:
            found = seen.squares([begin + time for time in times], size)
        except NoVideo as error:
            media.absent.append(str(error))
        else:
            media.frames = torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)
            media.frame_times, media.video_stream = times, seen.video_stream
    for source in sources:
        media.starts |= source.starts()
        media.notes += [note for note in source.notes() if note not in media.notes]
    return media


def even_indices(total: int, count: int) -> list[int]:
    """Return ``count`` indices into ``total`` items, each in the middle of one of ``count`` equal parts.

    >>> even_indices(20, 4), even_indices(1, 3)
    ([2, 7, 12, 17], [0, 0, 0])
    """
    return [min(total - 1, int((k + 0.5) * total / count)) for k in range(count)]


def _open_visual(
    paths: Sequence[Path], sample_rate: int, begin: float, seconds: float | None
) -> Scan | _Images | Animation:
    if len(paths) > 1 or "image" in streams_of(paths[0]):
        return _Images(paths)
    with opened_image(paths[0]) as image:
        moves = image is not None
    return Animation(paths[0]) if moves else Scan(paths[0], sample_rate, begin, seconds, audio=False, video=True)


class _Images:
    """Images in order, spread evenly over the clip."""

    seconds, video_stream = math.nan, 0

    def __init__(self, paths: Sequence[Path]) -> None:
        self.path, self.paths = paths[0], paths

    def starts(self) -> dict[str, float]:
        return {}

    def notes(self) -> list[str]:
        return []

    def squares(self, times: Sequence[float], size: int) -> list[np.ndarray]:
        chosen = even_indices(len(self.paths), len(times))
        read = {index: read_image(self.paths[index], size) for index in sorted(set(chosen))}
        return [read[index] for index in chosen]
