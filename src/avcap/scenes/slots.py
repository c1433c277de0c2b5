"""Relations between events: the time slots that each gives to its events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Slot:
    """Room in time for one event.

    Args:
        start: First moment (seconds).
        end: Last moment (seconds).
        ambient: Whether it is for a soft lasting sound behind the others.
    """

    start: float
    end: float
    ambient: bool = False

    @property
    def length(self) -> float:
        """Seconds from start to end."""
        return self.end - self.start


@dataclass(frozen=True)
class Relation:
    """The temporal relation of the events of a scene.

    Args:
        name: ``single``, ``then``, ``while``, ``background``, ``then_then`` or ``then_background``.
        weight: How often it is drawn, relative to the others.
        shortest: The shortest clip (seconds) that has room for it.
        room: Whether a silent object may stand beside the events.
        slots: (generator, seconds) -> a slot for each event, in order of telling.
    """

    name: str
    weight: float
    shortest: float
    room: bool
    slots: Callable[[np.random.Generator, float], list[Slot]]


def _row(rng: np.random.Generator, seconds: float, number: int) -> list[Slot]:
    """Lay out slots one after another with short gaps."""
    cuts = np.linspace(0, seconds, number + 1)
    if number == 2:
        cuts[1] += rng.uniform(-0.08, 0.08) * seconds
    gaps = rng.uniform(0.03, 0.1, (number, 2))
    return [Slot(float(cuts[i] + gaps[i, 0]), float(cuts[i + 1] - gaps[i, 1])) for i in range(number)]


def _single(rng: np.random.Generator, seconds: float) -> list[Slot]:
    length = seconds * rng.uniform(0.6, 1.0)
    start = rng.uniform(0, seconds - length)
    return [Slot(start, start + length)]


def _together(rng: np.random.Generator, seconds: float) -> list[Slot]:
    return [Slot(rng.uniform(0, 0.1) * seconds, rng.uniform(0.86, 1.0) * seconds) for _ in range(2)]


def _with_ambience(rng: np.random.Generator, seconds: float, number: int) -> list[Slot]:
    front = _row(rng, seconds, number) if number > 1 else _single(rng, seconds)
    return [*front, Slot(0.0, seconds, ambient=True)]


RELATIONS: dict[str, Relation] = {
    relation.name: relation
    for relation in (
        Relation("single", 0.20, 0.0, True, _single),
        Relation("then", 0.28, 3.2, True, lambda rng, seconds: _row(rng, seconds, 2)),
        Relation("while", 0.17, 2.4, False, _together),
        Relation("background", 0.15, 2.4, False, lambda rng, seconds: _with_ambience(rng, seconds, 1)),
        Relation("then_then", 0.10, 4.5, False, lambda rng, seconds: _row(rng, seconds, 3)),
        Relation("then_background", 0.10, 4.0, False, lambda rng, seconds: _with_ambience(rng, seconds, 2)),
    )
}
"""Name -> relation."""
