"""What `avcap data prepare`, `avcap data merge` and `avcap data verify` print of the shards."""

from __future__ import annotations

from avcap.shards.prepare import QUARANTINE, PrepareReport
from avcap.shards.reader import ShardInfo
from avcap.shards.verify import VerifyReport


def print_prepared(report: PrepareReport) -> None:
    """Print what became of each split, and where the shards are."""
    if report.splits:
        print(_table(report.splits))
    for split in report.kept:
        print(f"{split}: was finished before and is kept.")
    for split, changed in report.changed.items():
        print(f"{split}: the files of {changed} clips have changed since; add --update to make these clips again.")
    for split in report.parts:
        print(f"{split}: this part is made; once all parts are, join them with `avcap data merge {report.out}`.")
    for folder in report.aside:
        print(f"{folder} holds unfinished work by other settings, clips or captions; it is kept until you add --clear.")
    broken = sum(len(info.broken) for info in report.splits)
    if broken:
        print(f"Clips that could not be read: {broken}; the reasons are in {report.out / QUARANTINE}.")
    print(f"Shards: {report.out}")


def print_verified(report: VerifyReport) -> None:
    """Print the splits and every fault.

    Raises:
        SystemExit: with status 1 if there is a fault.
    """
    print(_table(report.splits))
    for error in report.errors:
        print(f"error: {error}")
    if not report.ok:
        raise SystemExit(1)
    print("No fault found.")


def _table(splits: list[ShardInfo]) -> str:
    """Return a table of splits: clips in the caption file, found, missing, broken, written, captions a clip, hash of the ids."""
    head = ("split", "clips", "found", "missing", "broken", "written", "captions", "id hash")
    rows = [head, *(_row(info) for info in splits)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(info: ShardInfo) -> tuple[str, ...]:
    captions = (
        ", ".join(info.captions)
        if len(info.captions) < 4
        else f"{min(map(int, info.captions))}-{max(map(int, info.captions))}"
    )
    counts = (info.clips, info.clips - len(info.missing), len(info.missing), len(info.broken), len(info.ids))
    return (info.split, *map(str, counts), captions, info.id_hash)
