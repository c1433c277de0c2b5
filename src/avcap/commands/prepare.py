"""`avcap data prepare`: AudioCaps, or a folder of media with captions, to shards."""

from __future__ import annotations

from pathlib import Path

from avcap.data.prepare import QUARANTINE, PrepareReport
from avcap.data.prepare import prepare as make_shards
from avcap.data.shards import SPLITS, ShardInfo


def prepare(
    root: Path,
    out: Path | None = None,
    *,
    splits: list[str] = list(SPLITS),  # noqa: B006 (a schema default; never changed)
    media: Path | None = None,
    frames: int = 20,
    size: int = 224,
    features: Path | None = None,
    sample_rate: int = 16_000,
    max_seconds: float | None = None,
    half: bool = True,
    num_workers: int = 2,
    overwrite: bool = False,
) -> None:
    """Make shards from media and captions.

    Reads the AudioCaps CSVs (v1, v2), the AVCap/LAVCap JSON layout, Clotho-style CSVs, or a CSV with file_name and
    caption. Missing clips are counted, broken ones are listed in quarantine.jsonl. Work that was interrupted is taken up again.

    Args:
        root: Folder with train.csv (or .json), val.csv and test.csv, and the media unless `media` is given.
        out: Where the shards go; null: <root>/shards.
        splits: Splits to make; one without a caption file is left out.
        media: Folder of the media files.
        frames: Frames to store of each clip; 0 stores none.
        size: Height and width of the frames in pixels.
        features: Folder of visual features made beforehand, one .npy [frames, channels] a clip.
        sample_rate: Samples a second of the sound, which is stored as FLAC; every front end of avcap reads 16,000.
        max_seconds: Read at most so many seconds of a clip, of its audio and its video; null reads all.
        half: Store visual features, and what `avcap data derive` makes, in float16, else in float32.
        num_workers: Processes.
        overwrite: Make finished splits again.
    """
    report = make_shards(
        root,
        out,
        splits=splits,
        media=media,
        frames=frames,
        size=size,
        features=features,
        sample_rate=sample_rate,
        max_seconds=max_seconds,
        half=half,
        num_workers=num_workers,
        overwrite=overwrite,
    )
    print(format_splits(report.splits))
    for line in _remarks(report):
        print(line)


def format_splits(splits: list[ShardInfo]) -> str:
    """Format a table of splits: clips in the caption file, found, missing, broken, written, captions per clip, hash of the ids."""
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


def _remarks(report: PrepareReport) -> list[str]:
    lines = [f"{split}: was finished before and is kept." for split in report.kept]
    broken = sum(len(info.broken) for info in report.splits)
    if broken:
        lines.append(f"Clips that could not be read: {broken}; the reasons are in {report.out / QUARANTINE}.")
    lines.append(f"Shards: {report.out}")
    return lines
