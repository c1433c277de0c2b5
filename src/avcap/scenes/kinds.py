"""Look-ups into the table of kinds."""

from __future__ import annotations

from collections import Counter

from avcap.scenes.table import TABLE

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
