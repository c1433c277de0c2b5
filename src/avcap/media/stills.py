"""Image files as a viewer shows them, and animated ones as films."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from avcap.media.display import MOST_STRETCHED, Display, square_image
from avcap.media.files import IMAGE_ERRORS, MediaError, holds_image, opened, opened_image, reason

ORIENTATION = 0x0112  # EXIF tag
SHORTEST = 0.011  # seconds: browsers show a shorter frame of an animation for 0.1 s


def read_image(path: Path, size: int) -> np.ndarray:
    """Read an image as a viewer shows it, as a square uint8 RGB ``[size, size, 3]``.

    It is turned by its EXIF orientation, stretched by its pixel aspect ratio, brought to sRGB by its ICC profile; what is
    transparent is white; 16 bits are scaled to 8. The short side is resized (bicubic), the centre cropped.

    Raises:
        FileNotFoundError: if there is no such file.
        MediaError: if it is no readable image.
    """
    with opened_image(path) as image:
        if image is not None:
            with _readable(path):
                image.load()
                aspect = _aspect(image)
                if image.getexif().get(ORIENTATION, 1) >= 5:  # it lies on its side
                    aspect = 1 / aspect
                return square_image(_rgb(ImageOps.exif_transpose(image), path), size, aspect)
    return _by_ffmpeg(path, size)


class Animation:
    """An animated image as a film.

    Raises:
        MediaError: if a frame of it cannot be read.
    """

    video_stream = 0

    def __init__(self, path: Path) -> None:
        self.path = path
        self._changes = [0.0]
        for image in self._frames():
            shown = float(image.info.get("duration") or 0) / 1000
            self._changes.append(self._changes[-1] + (0.1 if shown < SHORTEST else shown))

    @property
    def seconds(self) -> float:
        """How long it lasts, shown once."""
        return self._changes[-1]

    def starts(self) -> dict[str, float]:
        """Return when it begins: at once."""
        return {"video": 0.0}

    def notes(self) -> list[str]:
        """Return what is worth knowing."""
        return ["An animated image, shown once."]

    def squares(self, times: Sequence[float], size: int) -> list[np.ndarray]:
        """Return the frames on screen at some times in seconds; before and after the film the first and the last."""
        chosen = [min(max(bisect_right(self._changes, t) - 1, 0), len(self._changes) - 2) for t in times]
        found = {k: square_image(_rgb(image, self.path), size) for k, image in enumerate(self._frames()) if k in chosen}
        return [found[k] for k in chosen]

    def _frames(self) -> Iterator[Image.Image]:
        with opened_image(self.path) as image:
            if image is None:
                raise MediaError(f"{self.path} is not a readable image.")
            with _readable(self.path):
                for k in range(getattr(image, "n_frames", 1)):
                    image.seek(k)
                    image.load()
                    yield image


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except MediaError:
        raise
    except IMAGE_ERRORS as error:
        raise MediaError(f"{path} is not a readable image ({reason(error)}).") from error


def _aspect(image: Image.Image) -> float:
    """Return the width of a pixel over its height: from unequal densities of a JPEG, PNG or TIFF."""
    x, y = image.info.get("jfif_density") or image.info.get("aspect") or image.info.get("dpi") or (1, 1)
    aspect = float(y) / float(x) if x and y else 1.0
    return aspect if abs(aspect - 1) > 0.02 and 1 / MOST_STRETCHED <= aspect <= MOST_STRETCHED else 1.0


def _rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image, path)
    profile = image.info.get("icc_profile")
    transparent = image.has_transparency_data
    if profile and image.mode in {"RGB", "RGBA", "CMYK", "L"}:
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            opaque = image.convert("RGB") if alpha is not None else image
            converted = ImageCms.profileToProfile(opaque, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            converted = None  # a damaged profile, or one of another mode: viewers ignore it
        if converted is not None:
            if alpha is None:
                return converted
            converted.putalpha(alpha)
            image = converted
    if not transparent:
        return image.convert("RGB")
    over = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise MediaError(f"{path} holds NaN or infinity.")
    most = 1.0 if image.mode == "F" else 65_535.0
    if values.min() < 0 or values.max() > most:
        raise MediaError(
            f"{path} has values from {values.min():g} to {values.max():g}, where 0 to {most:g} is expected."
            " Save it with 8 or 16 bits."
        )
    return Image.fromarray((values / most * 255).round().astype(np.uint8)).convert("RGB")


def _by_ffmpeg(path: Path, size: int) -> np.ndarray:
    import av

    with opened(path) as container:
        if not holds_image(container):
            raise MediaError(f"{path} is not a readable image.")
        try:
            frame = next(container.decode(video=0))
        except (av.FFmpegError, StopIteration, IndexError) as error:
            raise MediaError(f"{path} is not a readable image ({reason(error)}).") from error
        return Display(size, None).square(frame)
