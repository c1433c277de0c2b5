"""``avcap dali texts``: make the training texts of the demo's language model."""

from __future__ import annotations

from pathlib import Path

from avcap.jsonl import write_json_lines
from avcap.scenes.texts import texts


def write_texts(*, out: Path = Path("data/demo/texts.jsonl"), count: int = 30_000, seed: int = 1) -> None:
    """Write what scenes look and sound like, in words alone: what a language model knows from reading.

    The scenes are composed and described, not rendered, and none of them is a clip of a data set.

    Args:
        out: Where the JSON lines go: prompt_text (what is seen), task (see or hear), text.
        count: Number of texts.
        seed: Seed of the scenes.
    """
    write_json_lines(out, texts(count, seed=seed))
    print(f"{count:,} texts: {out}")
