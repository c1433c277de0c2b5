"""`avcap data verify`: check that the shards are complete and undamaged."""

from __future__ import annotations

from pathlib import Path

from avcap.commands.prepare import format_splits
from avcap.data.verify import verify as check_shards


def verify(shards: Path, *, quick: bool = False) -> None:
    """Check shards: every clip readable and unchanged, no clip in two splits. Exit status 1 on a fault.

    Args:
        shards: Folder of the shards.
        quick: Read only the first and the last clip of each shard file.
    """
    report = check_shards(shards, quick=quick, progress=True)
    print(format_splits(report.splits))
    for error in report.errors:
        print(f"error: {error}")
    if not report.ok:
        raise SystemExit(1)
    print("No fault found.")
