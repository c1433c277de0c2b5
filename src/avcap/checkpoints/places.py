"""The places where files that a config or a checkpoint names may lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NAMES = ("pretrained", "pretrained_audio", "model", "language_model", "file", "tokenizer", "config")
"""Arguments of parts that name a file, a folder or a hub model."""


def roots_of(checkpoint: Path) -> list[Path]:
    """Return the folder of a run and those above it, nearest first: a run names files from where it was started."""
    return list(checkpoint.resolve().parent.parents)[:-1]  # ``<run>/checkpoints/best.ckpt``; not the root of the disk


def placed(settings: Any, roots: Sequence[Path], *, own: Path | None = None) -> Any:
    """Return settings whose relative names of files are replaced by the first place where there is one.

    Args:
        settings: Settings of parts, at any depth.
        roots: Folders to look in, the first ones first; a name that none of them has stays as it is.
        own: A folder of weights: it goes before the others, and a hub name ``a/b`` is found in it as ``b`` too; so is a name of a
            single word.

    Raises:
        FileNotFoundError: if there is no such folder of weights.
    """
    if own is not None and not own.is_dir():
        raise FileNotFoundError(f"There is no folder {own}; --weights_root must name one.")
    if isinstance(settings, list):
        return [placed(value, roots, own=own) for value in settings]
    if not isinstance(settings, Mapping):
        return settings
    return {
        name: _found(value, roots, own)
        if name in NAMES and isinstance(value, str | Path)
        else placed(value, roots, own=own)
        for name, value in settings.items()
    }


def _found(value: str | Path, roots: Sequence[Path], own: Path | None) -> str | Path:
    name = Path(value)
    if name.is_absolute():
        return value
    alone = len(name.parts) == 1 and not name.suffix  # a package or a published name, found in a folder of weights only
    places = [] if own is None else [own / name, own / name.name]
    places += [] if alone else [root / name for root in roots]
    return next((type(value)(place) for place in places if place.exists()), value)
