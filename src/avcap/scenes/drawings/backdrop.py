"""Places in which things happen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avcap.scenes.drawings.canvas import RGB, speckle


@dataclass(frozen=True)
class Backdrop:
    """A place: colours of the upper and lower part of the frame, and its words.

    Args:
        phrase: How an image caption names it.
        top: Colour at the upper edge.
        horizon: Colour above the line.
        ground: Colour below the line.
    """

    phrase: str
    top: RGB
    horizon: RGB
    ground: RGB


BACKDROPS: dict[str, Backdrop] = {
    "field": Backdrop("in a green field", (150, 200, 240), (220, 236, 248), (128, 184, 96)),
    "street": Backdrop("on a street", (176, 192, 208), (214, 220, 226), (140, 140, 144)),
    "room": Backdrop("in a room", (238, 226, 200), (232, 218, 190), (176, 142, 104)),
    "beach": Backdrop("on a beach", (130, 206, 244), (200, 236, 250), (236, 218, 164)),
    "night": Backdrop("at night", (34, 38, 84), (70, 74, 124), (56, 64, 72)),
}
"""Key -> place."""


def paint(rng: np.random.Generator, backdrop: str, size: int) -> np.ndarray:
    """Paint an empty place, a key of :data:`BACKDROPS`, as uint8 [size, size, 3]; ``rng`` gives horizon, light and grain."""
    place = BACKDROPS[backdrop]
    line = max(1, int(size * rng.uniform(0.58, 0.76)))
    part = np.linspace(0, 1, line)[:, None]
    rows = np.empty((size, 3), dtype=np.float32)
    rows[:line] = np.array(place.top) * (1 - part) + np.array(place.horizon) * part
    rows[line:] = np.array(place.ground) * np.linspace(1.0, 0.85, size - line)[:, None]
    image = np.repeat(rows[:, None, :], size, axis=1) * rng.uniform(0.88, 1.06)
    return speckle(rng, image, 3.0)
