"""Media files and captions -> shards."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from avcap.captions import find_caption_file, read_captions
from avcap.frontends.base import SAMPLE_RATE
from avcap.jsonl import write_json_lines
from avcap.lock import LOCK, locked
from avcap.shards.making import make_clip, origin_of, plan_of, usual_width
from avcap.shards.manifest import MediaIndex, find_clips
from avcap.shards.parallel import Limits
from avcap.shards.reader import INFO, SPLITS, ShardInfo
from avcap.shards.writer import Part, merge_splits, unfinished, write_split

log = logging.getLogger(__name__)

QUARANTINE = "quarantine.jsonl"
READING = 2  # raised whenever the same media file gives another recording or other frames


@dataclass
class PrepareReport:
    """The outcome of each split.

    Attributes:
        out: The folder of the shards.
        splits: The facts of each split that is finished.
        kept: Names of splits that were finished before.
        notes: What was mended or left out of the caption files, a sentence each.
        changed: Name of a kept split -> its clips whose files have changed since.
        parts: Names of splits of which a part was made.
        aside: Folders of unfinished work that was made by other settings, clips or captions.
    """

    out: Path
    splits: list[ShardInfo] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    changed: dict[str, int] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    aside: list[Path] = field(default_factory=list)


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
    clip_seconds: float | None = 120,
    clip_memory: float | None = 4,
    shard_index: int | None = None,
    num_shards: int | None = None,
    update: bool = False,
    retry: bool = False,
    overwrite: bool = False,
    clear: bool = False,
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
        num_workers: Processes; 0: this one alone, without the two limits and without protection from a decoder that crashes.
        clip_seconds: A clip that takes longer is broken; null: no limit.
        clip_memory: A clip that needs more than so many GiB of memory is broken; null: no limit.
        shard_index: Make one part of the shards, from 0, and join the parts with `avcap data merge`; null: the rank of torchrun
            or srun, or everything.
        num_shards: The number of parts.
        update: Make a finished split again where clips or files have changed; other clips are not decoded again.
        retry: The same, and try again the clips of quarantine.jsonl.
        overwrite: Make finished splits again.
        clear: Delete unfinished work that was made by other settings, clips or captions.
        progress: Show a progress bar.

    Returns:
        The facts of each split. Missing and broken clips are listed there; broken ones also in ``quarantine.jsonl``.

    Raises:
        FileNotFoundError: if there is no folder, or no caption file of any split.
        ValueError: if a number is out of range, a caption file lacks a column, no clip of a split was found, or a finished
            split was made from other clips or settings and neither ``overwrite`` nor ``update`` is on.
        BlockingIOError: if another process writes into the same folder.
    """
    root = Path(root)
    out = root / "shards" if out is None else Path(out)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}.")
    if frames < 0 or sample_rate < 1:
        raise ValueError(f"frames must not be negative and sample_rate at least 1, got {frames} and {sample_rate}.")
    limits = Limits(clip_seconds, clip_memory)
    part = _part(shard_index, num_shards, os.environ)
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
        reading=READING,
    )
    report = PrepareReport(out)
    with _only_writer(out, part):
        folders = [root if media is None else Path(media), *([Path(features)] if features else [])]
        index = MediaIndex(folders, exclude=out)
        for split, path in captions.items():
            entries = read_captions(path)
            report.notes += entries.notes
            clips, missing = find_clips(entries, index)
            if not clips:
                raise ValueError(
                    f"Of the {len(entries)} clips of {path} no media file was found in {root if media is None else media};"
                    f" a file is named like {entries[0].file or entries[0].id + '.mp4'}."
                )
            if len(missing) > len(entries) / 2:
                log.warning(
                    "Of the %d clips of %s, %d have a media file; if they should be more, look at --media: a file is named like %s.",
                    *(len(entries), path, len(clips), entries[0].file or f"{entries[0].id}.mp4"),
                )
            info = replace(settings, split=split, clips=len(entries), missing=missing, visual_width=usual_width(clips))
            info.plan = plan_of(info, clips)
            written = write_split(
                out,
                info,
                clips,
                partial(make_clip, info=replace(info, missing=[])),
                origin=partial(origin_of, root=root),
                clips_per_shard=clips_per_shard,
                num_workers=num_workers,
                limits=limits,
                part=part,
                overwrite=overwrite,
                update=update,
                retry=retry,
                progress=progress,
            )
            if written.finished:
                report.splits.append(written.info)
                report.aside += unfinished(out, split)
            else:
                report.parts.append(split)
            if written.kept:
                report.kept.append(split)
                report.changed |= {split: written.changed} if written.changed else {}
        if clear:
            for folder in report.aside:
                shutil.rmtree(folder)
            report.aside = []
        if not report.parts:
            _write_quarantine(out)
    return report


def merge(out: Path) -> PrepareReport:
    """Join the parts of shards that several processes of `avcap data prepare` made with ``shard_index``.

    Args:
        out: Where the shards are.

    Raises:
        FileNotFoundError: if there is no unfinished split in the folder.
        ValueError: if parts are missing or damaged.
        BlockingIOError: if another process writes into the same folder.
    """
    out = Path(out)
    if not out.is_dir():
        raise FileNotFoundError(f"There is no folder {out}.")
    with _only_writer(out, Part()):
        report = PrepareReport(out, merge_splits(out))
        for lock in out.glob(".part-*.lock"):
            lock.unlink()
        _write_quarantine(out)
    return report


@contextmanager
def _only_writer(out: Path, part: Part) -> Iterator[None]:
    """Hold the lock of a folder, or of a part; see that only parts of the same number are written at the same time."""
    fellows = f"-of-{part.count}.lock"
    with locked(out, LOCK if part.count == 1 else f".part-{part.index}{fellows}"):
        for other in sorted(out.glob(".*lock")):
            if other.name != LOCK if part.count == 1 else not other.name.endswith(fellows):
                with locked(out, other.name):
                    pass
        yield


def _part(index: int | None, count: int | None, environment: Mapping[str, str]) -> Part:
    """Return the part to make: the one of the options, or that of this process among those of torchrun or srun."""
    if (index is None) != (count is None):
        raise ValueError("shard_index and num_shards belong together; give both or none.")
    if index is None or count is None:
        index, count = 0, 1
        launchers = [("RANK", "WORLD_SIZE")]
        if (
            "SLURM_STEP_ID" in environment or "SLURM_JOB_ID" not in environment
        ):  # a batch script is one process of no step
            launchers.append(("SLURM_PROCID", "SLURM_NTASKS"))
        for rank, ranks in launchers:
            if rank in environment and ranks in environment:
                index, count = int(environment[rank]), int(environment[ranks])
                break
    if not 0 <= index < count:
        raise ValueError(f"shard_index must be from 0 to num_shards - 1, got {index} of {count}.")
    return Part(index, count)


def _write_quarantine(out: Path) -> None:
    """List the broken clips of all finished splits."""
    infos = [ShardInfo.load(path.parent) for path in sorted(out.glob(f"[!.]*/{INFO}"))]
    order = {split: place for place, split in enumerate(SPLITS)}
    rows = [
        {"split": info.split, **broken}
        for info in sorted(infos, key=lambda info: order.get(info.split, len(order)))
        for broken in info.broken
    ]
    if rows:
        write_json_lines(out / QUARANTINE, rows)
    else:
        (out / QUARANTINE).unlink(missing_ok=True)
