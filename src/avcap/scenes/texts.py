"""Texts of scenes without sound or frames: how what can be seen tends to sound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from avcap.jsonl import write_json_lines
from avcap.scenes.compose import compose
from avcap.scenes.grammar import captions
from avcap.scenes.image_captions import image_captions
from avcap.scenes.scene import SEEDS, Scene

SEE, HEAR = "see", "hear"

_SEE = 1 / 3
"""Probability of a row that tells what is seen; it is a copy, and soon learned."""

_ALL_MOMENTS = 0.5
"""Probability that a row is told all moments of its scene; otherwise one of them, as one frame would show."""

_NEXT = ", then "


def texts(count: int, *, seed: int = 1, seconds: float = 5.0) -> Iterator[dict[str, str]]:
    """Compose scenes and describe them in text, without rendering; none of them is a clip of a data set.

    A row says in ``prompt_text`` what the frames of a scene show, and in ``text`` the same again (task ``see``), or what
    is heard in the scene (task ``hear``). Both are drawn by the grammar of the data set, so that a text is as probable,
    given what is seen, as it is there: things that look alike may sound either way, and what is off-screen is a guess.

    Raises:
        ValueError: if ``count`` or ``seed`` is out of range.
    """
    if count < 1 or not 0 <= seed < SEEDS:
        raise ValueError(f"count must be at least 1 and seed from 0 to {SEEDS - 1}, got {count} and {seed}.")
    return (_row(compose(SEEDS + seed, index, seconds=seconds)) for index in range(count))


def write_texts(*, out: Path = Path("data/demo/texts.jsonl"), count: int = 30_000, seed: int = 1) -> Path:
    """Write :func:`texts`: what scenes look and sound like, in words alone, as a language model knows it from reading.

    Args:
        out: Where the JSON lines go: prompt_text (what is seen), task (see or hear), text.
        count: Number of texts.
        seed: Seed of the scenes.
    """
    write_json_lines(out, texts(count, seed=seed))
    return out


def _row(scene: Scene) -> dict[str, str]:
    rng = scene.rng("texts")
    seen = _shown(rng, scene)
    if rng.random() < _SEE:
        return {"prompt_text": seen, "task": SEE, "text": seen}
    (heard,) = captions(scene)
    return {"prompt_text": seen, "task": HEAR, "text": heard}


def _shown(rng: np.random.Generator, scene: Scene) -> str:
    """Return the image captions of all moments, or of one."""
    moments = [row["caption"] for row in image_captions(scene)]
    return _NEXT.join(moments) if rng.random() < _ALL_MOMENTS else str(rng.choice(moments))
