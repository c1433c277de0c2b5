"""The table of kinds, ``kinds.yaml``, and look-ups into it."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from avcap.scenes.kind import Kind


def read_kinds(path: Path) -> tuple[Kind, ...]:
    """Read a table of kinds, a YAML file, in its order; its head says what the fields mean.

    Raises:
        ValueError: If a name stands twice, or a kind has an unknown field, lacks one, or has one of a wrong form.
    """
    kinds = tuple(_kind(row, path) for row in yaml.safe_load(path.read_text(encoding="utf-8")))
    twice = [name for name, count in Counter(kind.name for kind in kinds).items() if count > 1]
    if twice:
        raise ValueError(f"{path} has two kinds called {twice[0]!r}; rename one.")
    return kinds


def _kind(row: Any, path: Path) -> Kind:
    """Parse and check one row of the file."""
    if not isinstance(row, dict) or not row.get("name"):
        raise ValueError(f"{path} has a kind without a name: {row!r}; begin it with `- name: ...`.")
    where = f"{path}: kind {row['name']!r}"
    known = [field.name for field in fields(Kind)]
    if unknown := sorted(set(row) - set(known)):
        raise ValueError(f"{where} has the unknown field {unknown[0]!r}; the fields are {', '.join(known)}.")
    if missing := [name for name in ("sound_group", "look_group", "subjects", "manners") if not row.get(name)]:
        raise ValueError(f"{where} lacks {missing[0]!r}; add it.")
    manners = row["manners"] if isinstance(row["manners"], dict) else {"": row["manners"]}
    for name, phrases in (("subjects", row["subjects"]), *manners.items()):
        if not isinstance(phrases, list) or not phrases or not all(isinstance(phrase, str) for phrase in phrases):
            raise ValueError(f"{where}: {name or 'manners'} must be a list of one or more phrases, not {phrases!r}.")
    for phrase in (phrase for phrases in manners.values() for phrase in phrases):
        if phrase.count("/") != 1:
            raise ValueError(f"{where}: the verb phrase {phrase!r} must have two forms, `finite/gerund`.")
    return Kind(
        **{
            **row,
            "subjects": tuple(row["subjects"]),
            "manners": {name: tuple(phrases) for name, phrases in manners.items()},
        }
    )


TABLE = read_kinds(Path(__file__).with_name("kinds.yaml"))
"""All kinds, grouped by what tells them apart."""

KINDS = {kind.name: kind for kind in TABLE}
"""Name -> kind."""

SOUND_GROUPS = Counter(kind.sound_group for kind in TABLE)
"""Sound group -> number of kinds."""

LOOK_GROUPS = Counter(kind.look_group for kind in TABLE)
"""Look group -> number of kinds."""

SOUND_ALIKE: tuple[str, ...] = tuple(kind.name for kind in TABLE if SOUND_GROUPS[kind.sound_group] > 1)
"""Kinds that only video tells apart."""

LOOK_ALIKE: tuple[str, ...] = tuple(kind.name for kind in TABLE if LOOK_GROUPS[kind.look_group] > 1)
"""Kinds that only audio tells apart."""

PLAIN: tuple[str, ...] = tuple(kind.name for kind in TABLE if kind.name not in SOUND_ALIKE + LOOK_ALIKE)
"""Kinds that either stream tells apart."""
