"""Short ways to write the size and the front end of an encoder."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from avcap.frontends import KaldiFbank
from avcap.layers.vit import ViTSize

SIZE = [field.name for field in fields(ViTSize)]


def arguments(*, default_depth: int = 11, default_mels: int = 128, **flat: Any) -> dict[str, Any]:
    """Arguments of an encoder from a flat list: those of ``ViTSize`` and of ``KaldiFbank`` become ``size`` and ``frontend``."""
    size = {name: flat.pop(name) for name in SIZE if name in flat}
    sound = {name: flat.pop(name) for name in ("mels", "target_length") if name in flat}
    if sound:
        flat["frontend"] = KaldiFbank(**{"mels": default_mels, **sound})
    return {"size": ViTSize(**{"depth": default_depth, **size}), **flat}
