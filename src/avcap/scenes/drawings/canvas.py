"""A small drawing in unit coordinates, drawn large and scaled down."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

RGB = tuple[int, int, int]

PALETTE: dict[str, RGB] = {
    "red": (214, 48, 42),
    "orange": (238, 132, 34),
    "yellow": (244, 206, 46),
    "green": (52, 158, 70),
    "blue": (48, 104, 214),
    "purple": (140, 70, 170),
    "brown": (132, 84, 48),
    "white": (240, 240, 240),
    "black": (42, 42, 48),
    "gray": (134, 138, 146),
    "pink": (240, 146, 170),
}
"""The colours that drawings and image captions know."""

SKIN: tuple[RGB, ...] = ((244, 206, 172), (222, 170, 124), (150, 100, 66))
DARK: RGB = (34, 34, 40)
WHITE: RGB = (248, 248, 248)


def shade(colour: RGB, factor: float) -> RGB:
    """Return a lighter (factor > 1) or darker (factor < 1) colour."""
    return tuple(int(min(255, max(0, round(part * factor)))) for part in colour)  # type: ignore[return-value]


class Canvas:
    """A transparent square on which (0, 0) is the upper left and (1, 1) the lower right corner.

    Args:
        side: Side of the finished drawing in pixels.
        oversample: How many times larger it is drawn, for smooth edges.
    """

    def __init__(self, side: int, oversample: int = 3) -> None:
        self.side, self.scale = side, side * oversample
        self.image = Image.new("RGBA", (self.scale, self.scale), (0, 0, 0, 0))
        self.pen = ImageDraw.Draw(self.image)

    def _at(self, *numbers: float) -> list[float]:
        return [number * (self.scale - 1) for number in numbers]

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: RGB, *, round_by: float = 0.0) -> None:
        """Draw a filled rectangle, with corners rounded by ``round_by``."""
        self.pen.rounded_rectangle(self._at(x0, y0, x1, y1), radius=round_by * self.scale, fill=fill)

    def disc(self, x: float, y: float, radius: float, fill: RGB, *, tall: float | None = None) -> None:
        """Draw a filled circle, or an ellipse of vertical radius ``tall``."""
        high = radius if tall is None else tall
        self.pen.ellipse(self._at(x - radius, y - high, x + radius, y + high), fill=fill)

    def half_disc(self, x0: float, y0: float, x1: float, y1: float, fill: RGB) -> None:
        """Draw the upper half of the ellipse inside a rectangle."""
        self.pen.pieslice(self._at(x0, y0, x1, y1), 180, 360, fill=fill)

    def shape(self, points: list[tuple[float, float]], fill: RGB) -> None:
        """Draw a filled polygon."""
        self.pen.polygon([tuple(self._at(*point)) for point in points], fill=fill)

    def line(self, points: list[tuple[float, float]], fill: RGB, width: float = 0.04) -> None:
        """Draw a line through points."""
        self.pen.line([tuple(self._at(*point)) for point in points], fill=fill, width=max(1, round(width * self.scale)))

    def arc(self, x: float, y: float, radius: float, start: float, end: float, fill: RGB, width: float = 0.04) -> None:
        """Draw a part of a circle, from ``start`` to ``end`` degrees clockwise from three o'clock."""
        ends = self._at(x - radius, y - radius, x + radius, y + radius)
        self.pen.arc(ends, start, end, fill=fill, width=max(1, round(width * self.scale)))

    def finish(self) -> Image.Image:
        """Return the drawing at its final size (RGBA)."""
        return self.image.resize((self.side, self.side), Image.Resampling.BOX)


def speckle(rng: np.random.Generator, image: np.ndarray, amount: float) -> np.ndarray:
    """Add Gaussian grain of ``amount`` grey levels to an image (uint8 [H, W, 3])."""
    grain = rng.standard_normal(image.shape[:2], dtype=np.float32)[..., None] * amount
    return np.clip(image + grain, 0, 255).astype(np.uint8)
