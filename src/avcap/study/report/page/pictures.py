"""Small images for the page: one sprite per clip, and compressed maps and figures."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH = 480  # of a sprite, in pixels
_SOUND, _TILES, _GAP = 72, 8, 3  # height of the spectrogram; most frames in the strip; pixels between them
_MAP_WIDTH = 960
_HEAT = np.array([[10, 8, 26], [84, 18, 96], [180, 48, 84], [244, 122, 60], [252, 240, 180]])  # dark to bright


def sprite(fbank: np.ndarray | None, frames: np.ndarray | None) -> str | None:
    """Return the spectrogram ``[T, F]`` above a strip of frames ``[N, 3, H, W]`` uint8 as a data URI of about 6 to 10 kB.

    The image is WebP, ``WIDTH`` wide; None for a clip with neither.
    """
    parts = []
    if fbank is not None and fbank.size:
        parts.append(_spectrogram(fbank))
    if frames is not None and len(frames):
        parts.append(_strip(frames))
    if not parts:
        return None
    whole = Image.new("RGB", (WIDTH, sum(part.height for part in parts)))
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    return _webp(whole, quality=55)


def light_picture(path: Path) -> str:
    """Return an image file as a data URI, no wider than the page needs.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        with Image.open(path) as picture:
            whole = picture.convert("RGB")
    except OSError as error:
        raise ValueError(f"{path} cannot be read as an image; delete it or draw it again.") from error
    if whole.width > _MAP_WIDTH:
        whole = whole.resize((_MAP_WIDTH, round(whole.height * _MAP_WIDTH / whole.width)), Image.Resampling.LANCZOS)
    return _webp(whole, quality=70)


def _spectrogram(fbank: np.ndarray) -> Image.Image:
    """Draw the spectrogram: low bins below, dark where it is quiet."""
    low, high = np.percentile(fbank, [5, 99.5])
    level = np.clip((fbank.T[::-1] - low) / max(high - low, 1e-6), 0, 1)  # [F, T]
    stops = np.linspace(0, 1, len(_HEAT))
    colours = np.stack([np.interp(level, stops, channel) for channel in _HEAT.T], -1)  # [F, T, 3]
    return Image.fromarray(colours.astype(np.uint8)).resize((WIDTH, _SOUND), Image.Resampling.BILINEAR)


def _strip(frames: np.ndarray) -> Image.Image:
    """Draw up to eight frames at even times, side by side, in their own proportions."""
    chosen = frames[np.linspace(0, len(frames) - 1, min(len(frames), _TILES)).round().astype(int)]  # [n, 3, H, W]
    width = WIDTH // len(chosen)
    height = min(round(width * frames.shape[2] / frames.shape[3]), 160)
    width = min(width, round(height * frames.shape[3] / frames.shape[2]))
    strip = Image.new("RGB", (WIDTH, height + _GAP))
    for number, frame in enumerate(chosen):
        tile = Image.fromarray(np.ascontiguousarray(frame.transpose(1, 2, 0))).resize((width - _GAP, height))
        strip.paste(tile, (number * WIDTH // len(chosen), _GAP))
    return strip


def _webp(picture: Image.Image, *, quality: int) -> str:
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=quality, method=2)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
