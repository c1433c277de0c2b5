"""Decoded frames as a player shows them, resized and cropped to a square."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from fractions import Fraction

    import av
    from av.video.reformatter import VideoReformatter

LONGEST = 8  # times the short side
MOST_STRETCHED = 16.0  # a larger pixel aspect ratio is a damaged header
UPRIGHT = (1, 0, 0, 1)
QUARTER_TURNS = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}  # anticlockwise
PQ, HLG, BT2020 = 16, 18, 9  # numbers of transfer functions and of primaries in the tags of a frame
WHITE = 203.0  # candelas a square metre of white in HDR video (ITU-R BT.2408); what is brighter is clipped
TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])  # of BT.2020


class Display:
    """Turns frames of a video track into squares as a player shows them: upright, pixels square, colours by their matrix.

    Args:
        size: Height and width in pixels.
        aspect: Width of a pixel over its height, where the container tells.
    """

    def __init__(self, size: int, aspect: Fraction | None) -> None:
        from av.video.reformatter import VideoReformatter

        self.size = size
        known = aspect is not None and 1 / MOST_STRETCHED <= aspect <= MOST_STRETCHED
        self.aspect = float(aspect) if aspect is not None and known else 1.0
        self.notes: dict[str, None] = {}
        # one for all frames: setting it up costs more than a small frame
        self._reformatter: VideoReformatter = VideoReformatter()

    def square(self, frame: av.VideoFrame) -> np.ndarray:
        """Return the central square of a frame, uint8 RGB ``[size, size, 3]``; the short side is resized (bicubic) to it."""
        from av.video.reformatter import ColorRange, Colorspace, Interpolation

        turn = display_matrix(frame)
        width, height = short_side(frame.width * self.aspect, frame.height, self.size)
        ribbon = max(width, height) > LONGEST * self.size
        unknown = int(frame.colorspace) == 2
        large = frame.width >= 1280 or frame.height > 576
        shown = self._reformatter.reformat(
            frame,
            width=frame.width if ribbon else width,
            height=frame.height if ribbon else height,
            format="rgb24",
            src_colorspace=(Colorspace.ITU709 if large else Colorspace.ITU601) if unknown else None,
            src_color_range=ColorRange.JPEG if int(frame.color_range) == 2 else None,
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND,
            threads=1,
        )
        if turn != UPRIGHT:
            self.notes["The video is turned as its container says."] = None
        if self.aspect != 1.0:
            self.notes[f"The pixels are {self.aspect:.3g} times as wide as high; the video is stretched."] = None
        if ribbon:
            picture = turned(square_image(Image.fromarray(shown.to_ndarray()), self.size, self.aspect), turn)
        else:
            picture = crop(turned(shown.to_ndarray(), turn), self.size)
        picture = np.ascontiguousarray(picture)
        if int(frame.color_trc) == PQ:
            self.notes["The video is HDR (PQ); what is brighter than white is clipped."] = None
            return from_pq(picture, wide=int(frame.color_primaries) == BT2020)
        if int(frame.color_trc) == HLG:
            self.notes["The video is HDR (HLG); it is shown as a screen without HDR shows it."] = None
        return picture


def from_pq(frame: np.ndarray, *, wide: bool) -> np.ndarray:
    """Bring a frame from the PQ transfer function (SMPTE ST 2084) to sRGB.

    Args:
        frame: ``[H, W, 3]`` uint8.
        wide: Whether its primaries are those of BT.2020.
    """
    power = (frame / 255.0) ** (32 / 2523)
    light = (np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)) ** (16384 / 2610) * 10_000 / WHITE
    light = (light @ TO_BT709.T if wide else light).clip(0, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (encoded * 255).round().astype(np.uint8)


def short_side(width: float, height: float, size: int) -> tuple[int, int]:
    """Return width and height of a frame whose short side becomes ``size``."""
    scale = size / min(width, height)
    return max(size, round(width * scale)), max(size, round(height * scale))


def crop(frame: np.ndarray, size: int) -> np.ndarray:
    """Return the central square ``[size, size, C]`` of a frame ``[H, W, C]``."""
    top, left = (frame.shape[0] - size) // 2, (frame.shape[1] - size) // 2
    return frame[top : top + size, left : left + size]


def square_image(image: Image.Image, size: int, aspect: float = 1.0) -> np.ndarray:
    """Return the central square of an RGB image, uint8 ``[size, size, 3]``; the short side is resized (bicubic) to it."""
    kept = LONGEST * min(image.width * aspect, image.height)  # of a ribbon the middle is enough, and fits the memory
    across, down = min(image.width, math.ceil(kept / aspect)), min(image.height, math.ceil(kept))
    if (across, down) != image.size:
        left, top = (image.width - across) // 2, (image.height - down) // 2
        image = image.crop((left, top, left + across, top + down))
    wanted = short_side(image.width * aspect, image.height, size)
    resized = image if image.size == wanted else image.resize(wanted, Image.Resampling.BICUBIC)
    return np.ascontiguousarray(crop(np.asarray(resized, dtype=np.uint8), size))


def display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """Return the container's turn of a frame as the signs of a 2 x 2 matrix, to the nearest quarter turn."""
    try:
        data: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know another kind of side data beside it
        return QUARTER_TURNS.get(frame.rotation % 360, UPRIGHT)
    if data is None:
        return UPRIGHT
    a, b, _, c, d = np.frombuffer(memoryview(data), np.int32)[:5].astype(np.float64)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1), 0, 0, (-1 if d < 0 else 1)
    return 0, (-1 if b < 0 else 1), (-1 if c < 0 else 1), 0


def turned(frame: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Turn and flip a frame ``[H, W, C]`` by a display matrix.

    >>> turned(np.array([[1, 2]])[..., None], (0, 1, -1, 0))[..., 0].tolist()
    [[1], [2]]
    """
    a, b, c, d = matrix
    if a:
        return frame[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return frame.swapaxes(0, 1)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]
