"""The true times of what sounds and is seen: the file ``events.jsonl`` beside the shards of the embedded data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from avcap.jsonl import read_json_lines

EVENTS = "events.jsonl"


class SceneEvents(NamedTuple):
    """The known events of a clip."""

    seconds: float
    events: list[dict[str, Any]]  # each with "audio" and "visual": start and end in seconds, or None


def read_scenes(path: Path | None) -> dict[str, SceneEvents]:
    """Read the scene of each clip id from an ``events.jsonl``; empty without one.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a line is no scene; the message names file and line.
    """
    found = {}
    for number, clip in read_json_lines(Path(path)) if path is not None else ():
        events: Any = clip.get("events")
        times = isinstance(clip.get("duration"), int | float) and isinstance(events, list)
        if not (isinstance(clip.get("id"), str) and times and all(isinstance(event, dict) for event in events)):
            raise ValueError(
                f"{path}, line {number}: needs `id`, `duration` and `events`; make it with `avcap data demo`."
            )
        found[clip["id"]] = SceneEvents(clip["duration"], events)
    return found


def beside_the_shards(shards: Path | None) -> Path | None:
    """Return the ``events.jsonl`` beside a folder of shards; None if there is none."""
    path = None if shards is None else Path(shards).parent / EVENTS
    return path if path is not None and path.is_file() else None
