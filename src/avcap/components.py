"""The classes that can be named: the concrete subclasses of a base, ours and a user's that are imported."""

from __future__ import annotations

import inspect

FOREIGN = ("lightning.", "torch.")  # packages whose own subclasses are no components


def components(*bases: type) -> list[type]:
    """Return all concrete subclasses of ``bases`` at any depth by name, except private ones (with a leading underscore)."""
    found: set[type] = set()
    queue = list(bases)
    while queue:
        children: list[type] = queue.pop().__subclasses__()
        for child in children:
            queue.append(child)
            private = child.__name__.startswith("_") or child.__module__.startswith(FOREIGN)
            if not private and not inspect.isabstract(child):
                found.add(child)
    return sorted(found, key=lambda child: child.__name__)
