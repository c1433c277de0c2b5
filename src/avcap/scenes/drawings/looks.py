"""The table of looks: which function draws a group, in which colours, and the noun for a drawing of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from avcap.scenes.drawings import creatures, people, things, vehicles
from avcap.scenes.drawings.canvas import PALETTE, RGB, Canvas

PHASES = 3
"""Drawings of each object: at rest, and two that alternate while it sounds."""


@dataclass(frozen=True)
class Look:
    """How a group is drawn.

    Args:
        draw: (canvas, colour, phase) -> None.
        noun: What an image caption calls it; ``{}`` is the place of the colour, if its colour is said at all.
        colours: Names of the colours it comes in.
    """

    draw: Callable[[Canvas, RGB, int], None]
    noun: str
    colours: tuple[str, ...]


_PAINT = ("red", "blue", "green", "yellow", "white", "purple")
_CLOTH = ("red", "blue", "green", "yellow", "purple", "orange")
_FUR = ("brown", "gray", "black", "orange", "white")

LOOKS: dict[str, Look] = {
    "truck": Look(vehicles.truck, "a {} truck", _PAINT),
    "motorboat": Look(vehicles.motorboat, "a {} motorboat", _PAINT),
    "motorcycle": Look(vehicles.motorcycle, "a person on a {} motorcycle", _PAINT),
    "police car": Look(vehicles.police_car, "a {} police car", ("white", "yellow", "black", "gray")),
    "helicopter": Look(vehicles.helicopter, "a {} helicopter", _PAINT),
    "dog": Look(creatures.dog, "a {} dog", _FUR),
    "cat": Look(creatures.cat, "a {} cat", _FUR),
    "rooster": Look(creatures.rooster, "a {} rooster", ("brown", "white", "orange", "red")),
    "bird": Look(creatures.bird, "a {} bird", ("red", "blue", "yellow", "green", "orange")),
    "duck": Look(creatures.duck, "a {} duck", ("brown", "white", "gray", "yellow")),
    "woman": Look(people.woman, "a woman in a {} dress", _CLOTH),
    "man": Look(people.man, "a man in a {} suit", ("blue", "gray", "brown", "green", "red")),
    "child": Look(people.child, "a child in a {} dress", _CLOTH),
    "baby": Look(people.baby, "a baby in a {} blanket", ("pink", "blue", "yellow", "green", "white")),
    "hands": Look(people.hands, "hands with {} sleeves", _CLOTH),
    "shoes": Look(people.shoes, "two legs in {} shoes", ("red", "brown", "black", "white", "green")),
    "umbrella": Look(things.umbrella, "a {} umbrella", _CLOTH),
    "pan": Look(things.pan, "an egg in a pan", ("orange",)),
    "hammer": Look(things.hammer, "a hammer with a {} handle", ("red", "blue", "yellow", "green", "orange")),
    "door": Look(things.door, "a hand on a {} door", ("red", "blue", "green", "brown", "white")),
    "device": Look(things.device, "a {} device", ("black", "gray", "blue", "white", "brown")),
    "cloud": Look(things.cloud, "a {} storm cloud", ("gray", "blue", "purple")),
    "bell": Look(things.golden_bell, "a golden bell with a {} ring", ("red", "blue", "black", "white")),
    "clock": Look(things.clock, "a round {} clock", ("red", "blue", "green", "brown", "black")),
    "tap": Look(things.tap, "a faucet with a {} handle", ("red", "blue", "green")),
    "waves": Look(things.sea, "ocean waves with a {} sail boat", ("red", "orange", "brown")),
}
"""Look group -> how it is drawn."""


def sprites(look: str, *, colour: str, side: int) -> list[Image.Image]:
    """Draw an object, a key of :data:`LOOKS`, at rest and in its two moving phases: :data:`PHASES` transparent RGBA images."""
    images = []
    for phase in range(PHASES):
        canvas = Canvas(side)
        LOOKS[look].draw(canvas, PALETTE[colour], phase)
        images.append(canvas.finish())
    return images
