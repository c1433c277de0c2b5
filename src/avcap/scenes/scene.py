"""Scenes: events with exact times, places and attributes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from avcap.scenes.kind import Kind
from avcap.scenes.kinds import KINDS, LOOK_ALIKE, SOUND_ALIKE

Interval = tuple[float, float]
"""Start and end in seconds."""

SEEDS = 2**32
"""Data sets have seeds below this; scenes for other uses take theirs from here on, and so are never those of a data set."""


@dataclass(frozen=True)
class Event:
    """One thing that is heard, seen, or both.

    Args:
        kind: Key of :data:`avcap.scenes.kinds.KINDS`.
        audio: When it sounds (seconds); ``None`` for a silent object.
        visual: When it is drawn (seconds); ``None`` when it is off-screen.
        box: Place of the drawing, relative to the frame (x0, y0, x1, y1); ``None`` when it is off-screen.
        manner: How it sounds, a key of the kind's ``manners``.
        count: How often it sounds, for kinds that are counted; else ``None``.
        distant: Whether it is far away: quieter, duller, drawn smaller.
        background: Whether it goes on softly behind the other events.
        colour: Name of the colour it is drawn in.
    """

    kind: str
    audio: Interval | None
    visual: Interval | None
    box: tuple[float, float, float, float] | None
    manner: str = ""
    count: int | None = None
    distant: bool = False
    background: bool = False
    colour: str = ""

    @property
    def of(self) -> Kind:
        """The row of the table of kinds."""
        return KINDS[self.kind]

    @property
    def offscreen(self) -> bool:
        """Whether it is heard and never seen."""
        return self.audio is not None and self.visual is None

    def to_dict(self) -> dict[str, Any]:
        """Return the event as a row of ``events.jsonl``."""
        return {**asdict(self), "name": self.of.name, "offscreen": self.offscreen}


@dataclass(frozen=True)
class Scene:
    """A clip before it is rendered.

    Args:
        seed: Seed of the data set.
        split: ``train``, ``val`` or ``test``.
        index: Number of the clip in its split.
        youtube_id: Eleven characters made from the seed, the split and the index.
        start_time: Start of the clip in its imaginary video (seconds).
        seconds: Length.
        relation: ``single``, ``then``, ``while``, ``background``, ``then_then`` or ``then_background``.
        backdrop: Key of :data:`avcap.scenes.drawings.backdrop.BACKDROPS`.
        events: What happens, heard events first, in order of telling.
    """

    seed: int
    split: str
    index: int
    youtube_id: str
    start_time: int
    seconds: float
    relation: str
    backdrop: str
    events: tuple[Event, ...] = field(default_factory=tuple)

    @property
    def id(self) -> str:
        """Name of the clip: ``<youtube_id>_<start_time>``."""
        return f"{self.youtube_id}_{self.start_time}"

    @property
    def heard(self) -> tuple[Event, ...]:
        """The events that sound."""
        return tuple(event for event in self.events if event.audio is not None)

    @property
    def tag(self) -> str:
        """Which stream decides: ``plain``, ``sound_alike`` (video), ``look_alike`` (audio) or ``both``."""
        sound = any(event.kind in SOUND_ALIKE for event in self.heard)
        look = any(event.kind in LOOK_ALIKE for event in self.heard)
        return {(False, False): "plain", (True, False): "sound_alike", (False, True): "look_alike"}.get(
            (sound, look), "both"
        )

    def rng(self, stream: str) -> np.random.Generator:
        """Return a random generator for one purpose (``"audio"``), independent of the clip's other generators."""
        return generator(self.seed, self.split, self.index, stream)

    def to_dict(self) -> dict[str, Any]:
        """Return the scene as a line of ``events.jsonl``."""
        return {
            "id": self.id,
            "split": self.split,
            "duration": self.seconds,
            "relation": self.relation,
            "scene": self.tag,
            "backdrop": self.backdrop,
            "events": [event.to_dict() for event in self.events],
        }


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return a random generator keyed by a seed and any number of names; other names give an independent stream."""
    keys = [int.from_bytes(str(name).encode(), "little") for name in names]
    return np.random.default_rng([seed, *keys])
