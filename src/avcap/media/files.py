"""Opening a media file, and saying by its content what it presents."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, UnidentifiedImageError

if TYPE_CHECKING:
    from av.container import InputContainer

STILL_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP", "AVIF", "ICO")  # Pillow's
JPEG_FILMS = frozenset({".mjpeg", ".mjpg"})  # their content begins like an image
HEIC = frozenset({"heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"})  # brands of its files
IMAGE_ERRORS = (  # what Pillow raises at damaged files
    *(OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, AttributeError, OverflowError),
    *(RuntimeError, ZeroDivisionError, MemoryError, struct.error, Image.DecompressionBombError),
)
NO_MEDIA = frozenset({"tty", "bin", "xbin", "adf", "idf", "hls", "concat", "dash", "sdp", "imf", "ffmetadata"})


class MediaError(ValueError):
    """A media file that cannot be read; the message names the file."""


class NoAudio(MediaError):
    """A file that is readable but holds no sound."""


class NoVideo(MediaError):
    """A file that is readable but holds no frames."""


def streams_of(path: Path) -> frozenset[str]:
    """Return what a file presents, by its content: of "audio", "video" and "image".

    Only the header is read; the answer is kept until the file changes. An animated image is "video", cover art nothing.

    Raises:
        FileNotFoundError: if there is no such file.
        MediaError: if it is a folder or device, or no media file.
    """
    facts = require_file(path)
    return _streams_of(str(path), facts.st_ino, facts.st_size, facts.st_mtime_ns)


def require_file(path: Path) -> os.stat_result:
    """Refuse what is no regular file, which might never end.

    Raises:
        FileNotFoundError: if there is no such file.
        MediaError: if it is a folder, a pipe or a device.
    """
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise FileNotFoundError(f"There is no file {path}.") from error
    except OSError as error:
        raise MediaError(f"{path} cannot be opened ({reason(error)}).") from error
    if stat.S_ISDIR(facts.st_mode):
        raise MediaError(f"{path} is a folder; name a media file.")
    if not stat.S_ISREG(facts.st_mode):
        raise MediaError(f"{path} is a pipe or a device; copy its content to a file.")
    return facts


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """Open a sound or video file.

    Raises:
        FileNotFoundError: if there is no such file.
        MediaError: if it is no media file.
    """
    import av

    require_file(path)
    with path.open("rb") if _odd(path) else _nothing() as file:
        try:
            source: Any = str(path.absolute()) if file is None else file  # absolute: "-a.wav", "http:a.wav" are files
            container = av.open(source, options={"protocol_whitelist": "file"}, metadata_errors="replace")
        except (av.FFmpegError, ValueError, OSError) as error:
            raise MediaError(f"{path} is not a readable media file ({reason(error)}).") from error
        with container:
            if container.format.name in NO_MEDIA:
                raise MediaError(f"{path} is text or a playlist, not a media file.")
            if container.metadata.get("major_brand", "").strip() in HEIC:
                raise MediaError(f"{path} is a HEIC image; save it as JPEG or PNG.")
            yield container


def duration(path: Path) -> float:
    """Return the seconds that a header tells, or the packets where it tells none: enough to tell a clip from a recording.

    What a clip presents is measured by :func:`avcap.media.read_media`.

    Raises:
        FileNotFoundError: if there is no such file.
        MediaError: if it is no media file.
    """
    with opened(path) as container:
        if container.duration is not None and container.duration > 0:
            return container.duration / 1e6
        stamps = [
            float(p.pts * p.time_base) for p in container.demux() if p.pts is not None and p.time_base is not None
        ]
        return max(stamps, default=0.0) - min(stamps, default=0.0)


@contextmanager
def opened_image(path: Path) -> Iterator[Image.Image | None]:
    """Open an image file that Pillow reads; None if it is not one.

    Raises:
        FileNotFoundError: if there is no such file.
        MediaError: if it is a damaged image.
    """
    require_file(path)
    if path.suffix.lower() in JPEG_FILMS:
        yield None
        return
    try:
        image = Image.open(path, formats=STILL_FORMATS)
    except UnidentifiedImageError:
        yield None
        return
    except IMAGE_ERRORS as error:
        raise MediaError(f"{path} is not a readable image ({reason(error)}).") from error
    with image:
        yield image


def holds_image(container: InputContainer) -> bool:
    """Say whether FFmpeg reads the file as one image."""
    return container.format.name == "image2" or container.format.name.endswith("_pipe")


def reason(error: Exception) -> str:
    """Return what an exception of a decoder says."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@lru_cache(maxsize=1 << 16)
def _streams_of(name: str, *_: int) -> frozenset[str]:
    from avcap.media.tracks import choose_tracks

    path = Path(name)
    with opened_image(path) as image:
        if image is not None:
            try:
                return frozenset({"video" if is_animated(image) else "image"})
            except IMAGE_ERRORS as error:
                raise MediaError(f"{path} is not a readable image ({reason(error)}).") from error
    with opened(path) as container:
        if holds_image(container):
            return frozenset({"image"})
        tracks = choose_tracks(container)
        there = {"audio": tracks.audio is not None, "video": tracks.video is not None}
        return frozenset(kind for kind, present in there.items() if present)


def is_animated(image: Image.Image) -> bool:
    """Say whether an image moves: several frames shown one after another, not pages or sizes."""
    return image.format in {"GIF", "WEBP", "PNG", "AVIF"} and getattr(image, "is_animated", False)


def _odd(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return True
    return False


@contextmanager
def _nothing() -> Iterator[None]:
    yield None
