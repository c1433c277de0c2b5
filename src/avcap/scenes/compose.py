"""Compose scenes: which kinds, in which relation, when and where."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

import numpy as np

from avcap.scenes.drawings.backdrop import BACKDROPS
from avcap.scenes.drawings.looks import LOOKS
from avcap.scenes.kind import Kind
from avcap.scenes.kinds import KINDS, LOOK_ALIKE, PLAIN, SOUND_ALIKE
from avcap.scenes.layout import arrange
from avcap.scenes.scene import Event, Interval, Scene, generator
from avcap.scenes.slots import RELATIONS, Slot

SPLITS = ("train", "val", "test")
MIN_SECONDS = 2.0

_POOLS = (SOUND_ALIKE, LOOK_ALIKE, PLAIN)
_POOL_WEIGHTS = (0.36, 0.34, 0.30)
_DISTANT, _OFFSCREEN, _DISTRACTOR = 0.22, 0.15, 0.25


def compose(seed: int, index: int, split: str = "train", *, seconds: float = 5.0) -> Scene:
    """Compose a clip of a split, by its number there; the same arguments always give the same scene.

    Raises:
        ValueError: If the split is unknown or the clip is shorter than two seconds.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; choose one of {', '.join(SPLITS)}.")
    if seconds < MIN_SECONDS:
        raise ValueError(f"seconds is {seconds}; scenes need at least {MIN_SECONDS} seconds, raise seconds.")
    rng = generator(seed, split, index, "compose")
    relations = [relation for relation in RELATIONS.values() if relation.shortest <= seconds]
    weights = np.array([relation.weight for relation in relations])
    relation = relations[rng.choice(len(relations), p=weights / weights.sum())]
    slots = relation.slots(rng, seconds)
    heard: list[Event] = []
    for slot in slots:
        kind = _choose(rng, [event.of for event in heard], slot)
        heard.append(_event(rng, kind, slot))
    distractors = []
    if relation.room and rng.random() < _DISTRACTOR:
        kind = _choose(rng, [event.of for event in heard], None)
        distractors = [Event(kind.name, audio=None, visual=(0.0, seconds), box=None, colour=_colour(rng, kind))]
    return Scene(
        seed=seed,
        split=split,
        index=index,
        youtube_id=youtube_id(seed, split, index),
        start_time=int(rng.integers(0, 30)) * 10,
        seconds=seconds,
        relation=relation.name,
        backdrop=str(rng.choice(list(BACKDROPS))),
        events=arrange(rng, relation, heard, distractors, seconds),
    )


def youtube_id(seed: int, split: str, index: int) -> str:
    """Return a clip name: eleven characters of the YouTube alphabet, unique over all splits."""
    digest = hashlib.blake2b(f"{seed}/{split}/{index}".encode(), digest_size=9).digest()
    return base64.urlsafe_b64encode(digest).decode()[:11]


def _choose(rng: np.random.Generator, taken: Sequence[Kind], slot: Slot | None) -> Kind:
    """Draw a kind that neither sounds nor looks like those taken, and that fits the slot."""
    sounds, looks = {kind.sound_group for kind in taken}, {kind.look_group for kind in taken}
    while True:
        pool = _POOLS[rng.choice(len(_POOLS), p=_POOL_WEIGHTS)]
        kind = KINDS[pool[rng.integers(len(pool))]]
        if kind.sound_group in sounds or kind.look_group in looks:
            continue
        if slot is not None and ((slot.ambient and not kind.ambient) or (kind.period or 0.0) > slot.length):
            continue
        return kind


def _event(rng: np.random.Generator, kind: Kind, slot: Slot) -> Event:
    """Let a kind sound within a slot; the box is set later."""
    manners = list(kind.manners)
    count, audio = _times(rng, kind, slot)
    offscreen = kind.name not in SOUND_ALIKE and rng.random() < _OFFSCREEN
    return Event(
        kind=kind.name,
        audio=audio,
        visual=None if offscreen else audio,
        box=None,
        manner=manners[rng.integers(len(manners))],
        count=count,
        distant=not slot.ambient and rng.random() < _DISTANT,
        background=slot.ambient,
        colour=_colour(rng, kind),
    )


def _times(rng: np.random.Generator, kind: Kind, slot: Slot) -> tuple[int | None, Interval]:
    """Draw how often and when an event sounds: a counted kind takes ``count`` periods, others the whole slot."""
    if kind.period is None:
        return None, (round(slot.start, 3), round(slot.end, 3))
    most = int(slot.length / kind.period)
    choices = [number for number in (1, 2, 3) if number <= most] + (
        [int(rng.integers(4, most + 1))] if most >= 4 else []
    )
    count = int(rng.choice(choices))
    start = slot.start + rng.random() * min(0.4, slot.length - count * kind.period)
    return count, (round(start, 3), round(start + count * kind.period, 3))


def _colour(rng: np.random.Generator, kind: Kind) -> str:
    colours = LOOKS[kind.look_group].colours
    return colours[rng.integers(len(colours))]
