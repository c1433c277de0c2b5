"""Reading sound and frames out of any media file (PyAV: its wheel brings FFmpeg)."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from avcap.data.media.files import MediaError, NoAudio, NoVideo
from avcap.data.media.files import streams_of as streams_of

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.reformatter import VideoReformatter

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v"})


def read_audio(path: Path, sample_rate: int = 16_000, *, max_seconds: float | None = None) -> Tensor:
    """Decode, mix down and resample the first audio track of a file.

    Args:
        path: Any sound or video file.
        sample_rate: Samples per second wanted.
        max_seconds: Seconds to read at most; None reads all.

    Returns:
        ``[samples]`` float32 mono, in [-1, 1] where the source is.

    Raises:
        FileNotFoundError: if there is no such file.
        NoAudio: if it has no audio track, or one without a sample.
        MediaError: if it cannot be decoded.
    """
    import av

    limit = math.inf if max_seconds is None else round(max_seconds * sample_rate)
    pieces: list[np.ndarray] = []
    length = 0
    with _opened(path) as container:
        if not container.streams.audio:
            raise NoAudio(f"{path} has no audio track.")
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", rate=sample_rate)
        try:
            for frame in container.decode(stream):
                for piece in resampler.resample(frame):
                    pieces.append(piece.to_ndarray().mean(axis=0))  # FFmpeg's own mix-down is 3 dB louder
                    length += len(pieces[-1])
                if length >= limit:
                    break
            else:
                pieces.extend(piece.to_ndarray().mean(axis=0) for piece in (resampler.resample(None) if pieces else ()))
        except av.FFmpegError as error:
            _damaged(path, "sound", length / sample_rate, error)
    if not sum(map(len, pieces)):
        raise NoAudio(f"{path} has an audio track without a single sample.")
    wave = np.concatenate(pieces)[: None if max_seconds is None else int(limit)]
    return torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))


def read_frames(
    path: Path | Sequence[Path],
    count: int,
    size: int,
    *,
    times: Sequence[float] | None = None,
    max_seconds: float | None = None,
) -> Tensor:
    """Take frames at even times over a clip, resized (bicubic, short side) and centre-cropped to a square.

    The clip is cut into ``count`` equal parts and the frame shown in the middle of each is taken. It is decoded once.
    Several images instead of a video are sampled evenly; one image is repeated.

    Args:
        path: A video, an image, or the images of a clip in order.
        count: Number of frames N.
        size: Height and width of the result in pixels.
        times: The N times in seconds after the first frame, in place of even ones; only for a video.
        max_seconds: Spread the times over that many seconds from the start of a video; None: over all of it.

    Returns:
        ``[N, 3, size, size]`` uint8 RGB.

    Raises:
        FileNotFoundError: if there is no such file.
        NoVideo: if it has no video track, or one without a frame.
        MediaError: if it cannot be decoded.
    """
    if count < 1 or size < 1:
        raise ValueError(f"count and size must be at least 1, got {count} and {size}.")
    paths = [path] if isinstance(path, Path) else list(path)
    if not paths:
        raise NoVideo("No image was given.")
    if len(paths) > 1 or paths[0].suffix.lower() in IMAGE_SUFFIXES:
        chosen = even_indices(len(paths), count)
        read = {index: _square(_read_image(paths[index]), size) for index in sorted(set(chosen))}
        pictures = [read[index] for index in chosen]
    else:
        pictures = _read_video(paths[0], count, size, times, max_seconds)
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()  # [N, 3, H, W]


def even_indices(total: int, count: int) -> list[int]:
    """Return ``count`` indices into ``total`` items, each in the middle of one of ``count`` equal parts.

    >>> even_indices(20, 4), even_indices(1, 3)
    ([2, 7, 12, 17], [0, 0, 0])
    """
    return [min(total - 1, int((k + 0.5) * total / count)) for k in range(count)]


def duration(path: Path) -> float:
    """Return the duration in a media file's header, in seconds; NaN if the header has none.

    Raises:
        FileNotFoundError: if there is no such file.
        MediaError: if it cannot be opened.
    """
    with _opened(path) as container:
        return math.nan if container.duration is None else container.duration / 1e6


def video_seconds(path: Path) -> float:
    """Return the duration of a file's video in seconds; its sound may be longer.

    Raises:
        FileNotFoundError: if there is no such file.
        NoVideo: if it has no video track.
        MediaError: if it cannot be opened.
    """
    with _opened(path) as container:
        if not container.streams.video:
            raise NoVideo(f"{path} has no video track.")
        return _shown_seconds(path, container, container.streams.video[0])


def _read_video(
    path: Path, count: int, size: int, times: Sequence[float] | None, max_seconds: float | None
) -> list[np.ndarray]:
    import av
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()  # one for all frames: setting it up costs more than a small frame
    pictures: list[np.ndarray] = []
    shown: av.VideoFrame | None = None
    with _opened(path) as container:
        if not container.streams.video:
            raise NoVideo(f"{path} has no video track.")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # clips are decoded in parallel, not frames
        wanted = _even_times(path, container, stream, count, max_seconds) if times is None else list(times)
        if len(wanted) != count or sorted(wanted) != wanted:
            raise ValueError(f"times must be {count} increasing seconds, got {wanted}.")
        try:
            for frame, time in _timed(container, stream):
                while len(pictures) < count and shown is not None and time > wanted[len(pictures)]:
                    pictures.append(_picture(reformatter, shown, size))
                if len(pictures) == count:
                    break
                shown = frame
        except av.FFmpegError as error:
            _damaged(path, "video", 0.0 if shown is None else float(shown.time or 0.0), error)
        if shown is None:
            raise NoVideo(f"{path} has a video track without a single frame.")
        if len(pictures) < count:  # the last frame stays on screen until the end
            pictures.extend([_picture(reformatter, shown, size)] * (count - len(pictures)))
    return pictures


def _picture(reformatter: VideoReformatter, frame: av.VideoFrame, size: int) -> np.ndarray:
    return _square(Image.fromarray(reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()), size)


def _timed(container: InputContainer, stream: av.VideoStream) -> Iterator[tuple[av.VideoFrame, float]]:
    """Yield frames with their times, in seconds after the first one."""
    start = None
    for frame in container.decode(stream):
        time = float(frame.time or 0.0)
        start = time if start is None else start
        yield frame, time - start


def _even_times(
    path: Path, container: InputContainer, stream: av.VideoStream, count: int, limit: float | None
) -> list[float]:
    """Return the middles of ``count`` equal parts of the video, or of its first ``limit`` seconds."""
    seconds = _shown_seconds(path, container, stream)
    seconds = seconds if limit is None else min(seconds, limit)
    return [(k + 0.5) * seconds / count for k in range(count)]


def _shown_seconds(path: Path, container: InputContainer, stream: av.VideoStream) -> float:
    """Return the duration of the video: from its stream header, else the file header, else the time of the last frame."""
    if stream.duration is not None and stream.time_base is not None and stream.duration > 0:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and container.duration > 0:
        return container.duration / 1e6
    return _measure(path)


def _measure(path: Path) -> float:
    """Return the time of the last frame, for containers whose header has no duration."""
    import av

    last = 0.0
    with _opened(path) as container:
        try:
            for _, time in _timed(container, container.streams.video[0]):
                last = time
        except av.FFmpegError as error:
            _damaged(path, "video", last, error)
    return last


def _read_image(path: Path) -> Image.Image:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise MediaError(f"{path} is not a readable image ({error}).") from error


def _square(image: Image.Image, size: int) -> np.ndarray:
    """Resize the short side to ``size`` (bicubic), then crop the central square ``[size, size, 3]``."""
    width, height = image.size
    if (width, height) != (size, size):
        scale = size / min(width, height)
        width, height = max(size, round(width * scale)), max(size, round(height * scale))
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - size) // 2, (height - size) // 2
        image = image.crop((left, top, left + size, top + size))
    return np.asarray(image, dtype=np.uint8)


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    import av

    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(f"{path} is not a readable media file ({_reason(error)}).") from error
    with container:
        yield container


def _damaged(path: Path, what: str, seconds: float, error: Exception) -> None:
    """Warn that decoding stopped early, so that the part before is used; raise if nothing was decoded."""
    if seconds <= 0.0:
        raise MediaError(f"The {what} of {path} cannot be decoded ({_reason(error)}).") from error
    log.warning(
        "The %s of %s is damaged after %.1f s (%s); the part before is used.", what, path, seconds, _reason(error)
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
