"""Captions of single frames, which describe only what is visible."""

from __future__ import annotations

import re
from typing import Any

from avcap.scenes.drawings.backdrop import BACKDROPS
from avcap.scenes.drawings.looks import LOOKS
from avcap.scenes.scene import Event, Scene


def visible(scene: Scene, time: float) -> list[Event]:
    """Return the events that are drawn at a moment, from left to right."""
    seen = [event for event in scene.events if event.visual and event.box and event.visual[0] <= time < event.visual[1]]
    return sorted(seen, key=lambda event: event.box or (0.0,) * 4)


def image_caption(scene: Scene, time: float) -> str:
    """Describe the frame at a moment in seconds: things with their colours from left to right, and the place."""
    nouns = [_articles(LOOKS[event.of.look_group].noun.format(event.colour)) for event in visible(scene, time)]
    things = " and ".join(nouns) or "an empty view"
    return f"{things} {BACKDROPS[scene.backdrop].phrase}"


def _articles(noun: str) -> str:
    """Put "an" for "a" before a vowel."""
    return re.sub(r"\ba (?=[aeiou])", "an ", noun)


def image_captions(scene: Scene) -> list[dict[str, Any]]:
    """Write one caption for each visible event, at the middle of its appearance; at least one per scene.

    Returns:
        Rows ``{"id", "time", "caption"}`` with different captions, in order of time.
    """
    middles = sorted({round(sum(event.visual) / 2, 3) for event in scene.events if event.visual} or {scene.seconds / 2})
    rows: dict[str, dict[str, Any]] = {}
    for time in middles:
        caption = image_caption(scene, time)
        rows.setdefault(caption, {"id": scene.id, "time": time, "caption": caption})
    return list(rows.values())
