"""The true times of what sounds and is seen: the file ``events.jsonl`` beside the shards of the embedded data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

EVENTS = "events.jsonl"


class SceneEvents(NamedTuple):
    """The known events of a clip."""

    seconds: float
    events: list[dict[str, Any]]  # each with "audio" and "visual": start and end in seconds, or None


def read_scenes(path: Path | None) -> dict[str, SceneEvents]:
    """Read the scene of each clip id from an ``events.jsonl``; empty without one."""
    if path is None:
        return {}
    with Path(path).open(encoding="utf-8") as lines:
        return {clip["id"]: SceneEvents(clip["duration"], clip["events"]) for clip in map(json.loads, lines)}


def beside_the_shards(shards: Path | None) -> Path | None:
    """Return the ``events.jsonl`` beside a folder of shards; None if there is none."""
    path = None if shards is None else Path(shards).parent / EVENTS
    return path if path is not None and path.is_file() else None
