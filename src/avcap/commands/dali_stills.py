"""What ``avcap dali stills`` prints."""

from __future__ import annotations

from avcap.shards.writer import WrittenSplit


def print_stills(written: list[WrittenSplit]) -> None:
    """Print how many images each split has."""
    for split in written:
        print(f"{split.info.split}: {len(split.info.ids):,} images{', made before and kept' if split.kept else ''}")
