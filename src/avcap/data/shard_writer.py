"""One split of shards, written from any source of clips; parallel over processes, resumable, atomic.

A worker makes the clips of one shard and writes it. Shards of an unfinished split wait in ``<split>.partial`` and are kept
when the work is taken up again; a finished split is renamed to ``<split>`` in one step and never touched again.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from avcap.data.item import Item, pack
from avcap.data.parallel import PLAN, Job, begin, run_jobs
from avcap.data.shards import CAPTIONS, INDEX, ShardInfo
from avcap.frontends.inputs import KEYS
from avcap.ids import id_hash
from avcap.jsonl import write_json_lines

RECORDS = "recordings"  # what a shard's record holds: an unfinished split with other records is begun anew


@dataclass(frozen=True)
class Broken:
    """A clip that could not be made.

    Attributes:
        id: Its id.
        file: The file at fault.
        reason: One sentence.
    """

    id: str
    file: str
    reason: str


class WrittenSplit(NamedTuple):
    """A split that is complete."""

    info: ShardInfo
    kept: bool  # finished before, and left as it is


def write_split(
    out: Path,
    info: ShardInfo,
    sources: Sequence[Any],
    make: Callable[[Any], Item | Broken],
    *,
    clips_per_shard: int = 64,
    num_workers: int = 2,
    overwrite: bool = False,
    progress: bool = True,
) -> WrittenSplit:
    """Write a split, or what is missing of it; a finished one is kept.

    Args:
        out: Folder of the splits.
        info: Name and settings of the split; ``plan`` stands for everything that decides its content.
        sources: What each clip is made from, in order.
        make: Makes one clip; it and the sources are pickled for the worker processes.
        clips_per_shard: Clips in one shard file.
        num_workers: Processes; below 2, this one alone.
        overwrite: Make a finished split again.
        progress: Show a progress bar.

    Returns:
        The facts of the split, with ids and broken clips, and whether it was finished before.

    Raises:
        ValueError: if a number is out of range, a finished split has another plan and ``overwrite`` is off, or no clip
            could be made.
    """
    if clips_per_shard < 1 or num_workers < 0:
        raise ValueError(
            f"clips_per_shard must be at least 1 and num_workers must not be negative, got {clips_per_shard}, {num_workers}."
        )
    folder = out / info.split
    if folder.is_dir() and not overwrite:
        return WrittenSplit(_finished(folder, info), kept=True)
    partial = out / f"{info.split}.partial"
    begin(partial, f"{info.plan} {clips_per_shard} {RECORDS}")
    jobs = [
        _Job(partial, number, sources[first : first + clips_per_shard], make, info.dtype == "float16")
        for number, first in enumerate(range(0, len(sources), clips_per_shard))
    ]
    run_jobs(jobs, _write_shard, title=info.split, num_workers=num_workers, progress=progress)
    return WrittenSplit(_publish(folder, partial, jobs, info), kept=False)


def _finished(folder: Path, wanted: ShardInfo) -> ShardInfo:
    done = ShardInfo.load(folder)
    if done.plan != wanted.plan:
        raise ValueError(f"{folder} was made from other clips, captions or settings; add --overwrite to make it again.")
    return done


@dataclass(frozen=True)
class _Job(Job):
    """One shard to write."""

    sources: Sequence[Any]
    make: Callable[[Any], Item | Broken]
    half: bool

    @property
    def clips(self) -> int:
        return len(self.sources)

    @property
    def index(self) -> Path:
        """The shard's own litdata index; absent where no clip could be made."""
        return self.folder / f"{self.number}.index.json"


def _write_shard(job: _Job) -> None:
    """Make the clips of a shard and write it."""
    from litdata.streaming.writer import BinaryWriter

    scratch = job.folder / f"{job.number}.scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    job.index.unlink(missing_ok=True)
    writer = BinaryWriter(str(scratch), chunk_size=len(job.sources) + 1, chunk_index=job.number)
    written: list[dict[str, Any]] = []
    broken: list[dict[str, str]] = []
    streams: Counter[str] = Counter()
    for source in job.sources:
        made = job.make(source)
        if isinstance(made, Broken):
            broken.append(asdict(made))
            continue
        writer.add_item(len(written), pack(made, half=job.half))
        written.append({"id": made.id, "captions": made.captions})
        streams.update(made.streams)
    writer.done()
    for path in scratch.iterdir():
        path.replace(job.index if path.suffix == ".json" else job.folder / path.name)
    scratch.rmdir()
    write_json_lines(job.record, [{"written": written, "broken": broken, "streams": streams}])


def _publish(folder: Path, partial: Path, jobs: Sequence[_Job], info: ShardInfo) -> ShardInfo:
    """Join the indices of the shards, write ``info.json``, and put the split in its place in one step."""
    records = [json.loads(job.record.read_text(encoding="utf-8")) for job in jobs]
    written = [clip for record in records for clip in record["written"]]
    info.broken = [failure for record in records for failure in record["broken"]]
    if not written:
        reason = info.broken[0]["reason"] if info.broken else "it has none"
        raise ValueError(f"No clip of the split {info.split} could be read; the first fault: {reason}")
    info.ids = [clip["id"] for clip in written]
    info.id_hash = id_hash(info.ids)
    counts = Counter(len(clip["captions"]) for clip in written)
    info.streams = {key: sum(record["streams"].get(key, 0) for record in records) for key in KEYS}
    info.captions = {str(n): count for n, count in sorted(counts.items())}
    indices = [json.loads(job.index.read_text()) for job in jobs if job.index.is_file()]
    chunks = [chunk for index in indices for chunk in index["chunks"]]
    (partial / INDEX).write_text(json.dumps({"chunks": chunks, "config": indices[0]["config"]}))
    write_json_lines(partial / CAPTIONS, written)
    info.save(partial)
    if folder.is_dir():
        shutil.rmtree(folder)
    partial.rename(folder)
    for leftover in (*folder.glob("*.record.json"), *folder.glob("*.index.json"), folder / PLAN):
        leftover.unlink()
    return info
