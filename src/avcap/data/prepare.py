"""Media files and captions -> shards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from avcap.data.captions import find_caption_file, read_captions
from avcap.data.item import Item
from avcap.data.manifest import Clip, MediaIndex, find_clips, settled
from avcap.data.media import MediaError
from avcap.data.reading import read_item
from avcap.data.shard_writer import Broken, write_split
from avcap.data.shards import SPLITS, ShardInfo
from avcap.frontends.base import SAMPLE_RATE
from avcap.jsonl import write_json_lines

QUARANTINE = "quarantine.jsonl"


@dataclass
class PrepareReport:
    """The outcome of each split.

    Attributes:
        out: The folder of the shards.
        splits: The facts of each split.
        kept: Names of splits that were finished before.
        notes: What was mended or left out of the caption files, a sentence each.
    """

    out: Path
    splits: list[ShardInfo] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def prepare(
    root: Path,
    out: Path | None = None,
    *,
    splits: Sequence[str] = SPLITS,
    media: Path | None = None,
    frames: int = 20,
    size: int = 224,
    features: Path | None = None,
    sample_rate: int = SAMPLE_RATE,
    max_seconds: float | None = None,
    half: bool = True,
    clips_per_shard: int = 64,
    num_workers: int = 2,
    overwrite: bool = False,
    progress: bool = True,
) -> PrepareReport:
    """Make the shards of a data set from its media and captions.

    Reads the AudioCaps CSVs (v1, v2), the JSON layouts of AVCap/LAVCap, WavCaps and COCO, Clotho-style CSVs, or a CSV with file_name and
    caption. Missing clips are counted, broken ones are listed in quarantine.jsonl. Work that was interrupted is taken up again.

    Args:
        root: Folder with train.csv (or .json), val.csv and test.csv, and the media unless ``media`` is given.
        out: Where the shards go; None: ``<root>/shards``.
        splits: Splits to make; one without a caption file is left out.
        media: Folder of the media files.
        frames: Frames to store of each clip; 0 stores none.
        size: Height and width of the frames in pixels.
        features: Folder of visual features made beforehand, one ``.npy`` ``[N, C]`` a clip.
        sample_rate: Samples a second of the sound, which is stored as FLAC; every front end of avcap reads 16,000.
        max_seconds: Read at most so many seconds of a clip, of its audio and its video; None reads all.
        half: Store visual features, and what `avcap data derive` makes, in float16, else in float32.
        clips_per_shard: Clips in one shard file.
        num_workers: Processes.
        overwrite: Make finished splits again.
        progress: Show a progress bar.

    Returns:
        The facts of each split. Missing and broken clips are listed there; broken ones also in ``quarantine.jsonl``.

    Raises:
        FileNotFoundError: if there is no folder, or no caption file of any split.
        ValueError: if a caption file lacks a column, no clip of a split was found, or a finished split was made from
            other clips or settings and ``overwrite`` is off.
    """
    root = Path(root)
    out = root / "shards" if out is None else Path(out)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}.")
    if frames < 0 or sample_rate < 1:
        raise ValueError(f"frames must not be negative and sample_rate at least 1, got {frames} and {sample_rate}.")
    captions = {split: path for split in splits if (path := find_caption_file(root, split)) is not None}
    if not captions:
        others = sorted(path.name for path in root.iterdir() if path.suffix.lower() in (".csv", ".tsv", ".json"))
        rename = f" Is it {others[0]}? Rename it." if others else ""
        raise FileNotFoundError(f"{root} holds no caption file; expected {splits[0]}.csv or {splits[0]}.json.{rename}")
    settings = ShardInfo(
        split="",
        frames=frames,
        size=size,
        dtype="float16" if half else "float32",
        sample_rate=sample_rate,
        max_seconds=max_seconds,
    )
    index = MediaIndex([root if media is None else Path(media), *([Path(features)] if features else [])], exclude=out)
    report = PrepareReport(out)
    for split, path in captions.items():
        entries = read_captions(path)
        report.notes += entries.notes
        clips, missing = find_clips(entries, index)
        if not clips:
            raise ValueError(
                f"Of the {len(entries)} clips of {path} no media file was found in {root if media is None else media};"
                f" a file is named like {entries[0].file or entries[0].id + '.mp4'}."
            )
        info = replace(settings, split=split, clips=len(entries), missing=missing, plan=_plan(settings, clips, missing))
        written = write_split(
            out,
            info,
            clips,
            partial(_read, settings=settings),
            clips_per_shard=clips_per_shard,
            num_workers=num_workers,
            overwrite=overwrite,
            progress=progress,
        )
        report.splits.append(written.info)
        report.kept += [split] if written.kept else []
    _write_quarantine(report)
    return report


def _plan(settings: ShardInfo, clips: list[Clip], missing: list[str]) -> str:
    """Hash everything that determines the content of a split, except the paths and contents of the files."""
    names = [(c.id, c.captions, c.audio is not None, len(c.frames), c.features is not None) for c in clips]
    starts = [[c.id, c.start, c.seconds, c.if_longer] for c in clips if c.start is not None]
    text = json.dumps([repr(settings), names, missing, *starts], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(clip: Clip, *, settings: ShardInfo) -> Item | Broken:
    """Decode a clip."""
    try:
        return read_item(
            settled(clip),
            frames=settings.frames,
            size=settings.size,
            sample_rate=settings.sample_rate,
            max_seconds=settings.max_seconds,
        )
    except (MediaError, FileNotFoundError) as error:
        file = clip.audio or next(iter(clip.frames), clip.features)
        return Broken(clip.id, str(file), str(error))


def _write_quarantine(report: PrepareReport) -> None:
    rows = [{"split": info.split, **broken} for info in report.splits for broken in info.broken]
    if rows:
        write_json_lines(report.out / QUARANTINE, rows)
    else:
        (report.out / QUARANTINE).unlink(missing_ok=True)
