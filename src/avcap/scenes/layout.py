"""Place and time of each drawn object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from avcap.scenes.scene import Event, Interval
from avcap.scenes.slots import Relation

_MARGIN = 0.3
_STAY = 0.3


def arrange(
    rng: np.random.Generator, relation: Relation, heard: Sequence[Event], distractors: Sequence[Event], seconds: float
) -> tuple[Event, ...]:
    """Give every visible event a place in the frame and a time; return heard events first.

    The frame has one column, or two when something must be seen beside something else: events that sound together, an
    object in the background, a silent one. Events that follow each other share a column and take turns, or, at times,
    stand beside each other for the whole clip and move only while they sound.
    """
    in_row = [event for event in heard if not event.background] if relation.name != "while" else []
    stay = relation.name == "then" and not distractors and rng.random() < _STAY
    share = len(in_row) > 1 and not stay
    beside = len(heard) + len(distractors) - (len(in_row) - 1 if share else 0)
    columns = rng.permutation(2)[:beside] if beside > 1 else np.array([0])
    arranged, used = [], 0
    for number, event in enumerate((*heard, *distractors)):
        if share and event in in_row:
            column, visual = columns[0], _turn(in_row, in_row.index(event), seconds)
            used = 1
        else:
            column = columns[used]
            visual = (0.0, seconds) if stay or event.background or number >= len(heard) else _around(event, seconds)
            used += 1
        if event.visual is None:
            arranged.append(event)
            continue
        box = _box(rng, int(column), min(beside, 2), distant=event.distant)
        arranged.append(replace(event, visual=visual, box=box))
    return tuple(arranged)


def _around(event: Event, seconds: float) -> Interval:
    """Return the time of the sound and a little more."""
    start, end = event.audio or (0.0, seconds)
    return round(max(0.0, start - _MARGIN), 3), round(min(seconds, end + _MARGIN), 3)


def _turn(row: Sequence[Event], number: int, seconds: float) -> Interval:
    """Return the time of the sound and a little more, ending half-way to the neighbours."""
    start, end = _around(row[number], seconds)
    spans = [event.audio or (0.0, seconds) for event in row]
    if number > 0:
        start = max(start, (spans[number - 1][1] + spans[number][0]) / 2)
    if number + 1 < len(row):
        end = min(end, (spans[number][1] + spans[number + 1][0]) / 2)
    return round(start, 3), round(end, 3)


def _box(rng: np.random.Generator, column: int, columns: int, *, distant: bool) -> tuple[float, float, float, float]:
    """Return a square inside a column; a distant object is drawn smaller, never below a third of the frame."""
    low, high = (0.52, 0.72) if columns == 1 else (0.42, 0.49)
    side = max(0.36, rng.uniform(low, high) * (0.72 if distant else 1.0))
    x = column / columns + rng.uniform(0, 1) * (1 / columns - side)
    y = rng.uniform(0.1, 0.97 - side)
    return tuple(round(float(value), 4) for value in (x, y, x + side, y + side))  # type: ignore[return-value]
