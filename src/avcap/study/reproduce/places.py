"""Configs made for a user's folders: what they name by default -> where it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from avcap.atomic import write_atomically
from avcap.config_files import whole_config


def relocated(value: Any, places: Mapping[str, str]) -> Any:
    """Return what changes in settings if each name in ``places`` (and each path below it) becomes another; None if nothing does.

    >>> relocated({"a": "data/shards/train", "b": {"c": 1, "d": "hub/model"}}, {"data/shards": "x", "hub/model": "y"})
    {'a': 'x/train', 'b': {'d': 'y'}}
    """
    if isinstance(value, dict):
        return {key: new for key, old in value.items() if (new := relocated(old, places)) is not None} or None
    if isinstance(value, list):
        changed = [relocated(old, places) for old in value]
        return (
            None
            if all(new is None for new in changed)
            else [o if n is None else n for o, n in zip(value, changed, strict=True)]
        )
    if isinstance(value, str):
        for name, place in places.items():
            if value == name or value.startswith(f"{name}/"):
                return place + value[len(name) :]
    return None


def write_overlay(path: Path, config: Path, places: Mapping[str, str], settings: Mapping[str, Any]) -> Path:
    """Write a config that lies over another: its names become those in ``places``, then ``settings`` hold.

    Args:
        path: Where to write; left alone if it is right already.
        config: The config below.
        places: Name in the config -> what it becomes.
        settings: Settings as nested mappings.

    Raises:
        FileNotFoundError: if there is no such config.
    """
    if not config.is_file():
        raise FileNotFoundError(f"There is no config {config}; start from the folder of the repository.")
    whole = whole_config(config)
    whole.get("trainer", {}).pop("default_root_dir", None)  # an option of each command
    text = yaml.safe_dump(laid_over(relocated(whole, places) or {}, settings), sort_keys=False)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    return path


def laid_over(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings with others over them: mappings are merged, all else is replaced."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = laid_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
