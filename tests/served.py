"""A data module that serves an imagined model, without a trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avcap.data import AudioCapsDataModule
from avcap.frontends import FrontEnd, Inputs, KaldiFbank
from avcap.frontends.inputs import KEYS

SMALL = KaldiFbank(8, target_length=64)


def served(
    shards: Path, *, frontend: FrontEnd | None = SMALL, reads: tuple[str, ...] = KEYS, **settings: Any
) -> AudioCapsDataModule:
    """Batches of 4 clips, loaded in this process; ``settings`` are those of the data module."""
    data = AudioCapsDataModule(shards, **{"batch_size": 4, "num_workers": 0, **settings})
    return data.serve(Inputs(frontend, reads))
