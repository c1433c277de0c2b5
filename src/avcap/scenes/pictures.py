"""Draw what is seen of a scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from avcap.scenes.drawings.backdrop import paint
from avcap.scenes.drawings.looks import sprites
from avcap.scenes.scene import Scene

SMALLEST = 32
"""Pixels of a side below which objects can no longer be told apart."""


def draw(
    scene: Scene, rng: np.random.Generator, *, times: np.ndarray, phases: Sequence[np.ndarray], size: int
) -> np.ndarray:
    """Draw a scene at some moments: the objects that are seen then, on its place.

    Args:
        scene: What to draw.
        rng: Source of the light, the grain and how far moving objects sway.
        times: Seconds [N].
        phases: For each event of the scene which of its :func:`sprites` is seen: int [N]. 0 is at rest; in the others it
            sways too.
        size: Side of the square frames in pixels.

    Returns:
        uint8 [N, size, size, 3].
    """
    place = Image.fromarray(paint(rng, scene.backdrop, size))
    frames = [place.copy() for _ in times]
    for event, phase in zip(scene.events, phases, strict=True):
        if event.visual is None or event.box is None:
            continue
        x, y, right, _ = event.box
        images = sprites(event.of.look_group, colour=event.colour, side=max(8, round((right - x) * size)))
        shape = (len(times), 2)
        sway = np.rint(rng.uniform(0.012, 0.035, shape) * size * rng.choice([-1, 1], shape)).astype(int)
        for frame in np.flatnonzero((event.visual[0] <= times) & (times < event.visual[1])):
            image = images[phase[frame]]
            dx, dy = sway[frame] if phase[frame] else (0, 0)
            frames[frame].paste(image, (round(x * size) + int(dx), round(y * size) + int(dy)), image)
    return np.stack([np.asarray(frame) for frame in frames])  # [N, size, size, 3]
