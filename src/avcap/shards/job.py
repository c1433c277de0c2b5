"""The work of one process at one shard: make its clips, or take them from a finished split, and write it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from avcap.shards.item import BLOBS, Item, Record, pack
from avcap.shards.parallel import Job
from avcap.shards.reader import Shards
from avcap.shards.unfinished import MadeClip, UnfinishedShard


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


class Origin(NamedTuple):
    """Where a clip comes from.

    Attributes:
        id: Its id.
        file: The file that is named if it cannot be made.
        facts: What decides how it reads besides the settings, as JSON: a clip with the same facts need not be made again.
        captions: Its captions; None: those that come with the clip.
    """

    id: str
    file: str
    facts: dict[str, Any]
    captions: list[str] | None = None

    def broken(self, fault: Broken) -> MadeClip:
        """Return what is kept of the clip if it cannot be made."""
        return MadeClip({**asdict(fault), "origin": self.facts}, None)


@dataclass(frozen=True)
class Before:
    """A clip of the finished split that is to be made again.

    Attributes:
        index: Its position there.
        row: What the manifest says of it.
    """

    index: int
    row: dict[str, Any]


@dataclass(frozen=True)
class ShardJob(Job):
    """One shard to write.

    Attributes:
        sources: What its clips are made from.
        make: Makes a clip.
        origin: Tells where a clip comes from.
        half: Store visual features in float16, else in float32.
        old: The finished split.
        before: The clips of the finished split that may be used again, one for each source; or none at all.
        retry: Try the broken clips of the finished split again.
    """

    sources: Sequence[Any]
    make: Callable[[Any], Item | Broken]
    origin: Callable[[Any], Origin]
    half: bool
    old: Path
    before: Sequence[Before | None]
    retry: bool

    @property
    def clips(self) -> int:
        """How many clips it is about."""
        return len(self.sources)

    @property
    def shard(self) -> UnfinishedShard:
        """What it writes."""
        return UnfinishedShard(self.folder, self.number)

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do, which the worker looks up, because a checksum takes time."""
        return False

    def blame(self, clip: int | None, fault: str) -> None:
        """Note that a clip cannot be made; see :meth:`Job.blame`."""
        if clip is None:
            super().blame(clip, fault)
        else:
            origin = self.origin(self.sources[clip])
            self.shard.keep(clip, origin.broken(Broken(origin.id, origin.file, f"{origin.file} {fault}.")))


def write_shard(job: ShardJob) -> Iterator[int | None]:
    """Make the clips of a shard and write it, unless it is there and whole.

    Yields:
        The position of each clip before it is made, and None before the shard is written.
    """
    shard = job.shard
    origins = [job.origin(source) for source in job.sources]
    record = shard.whole()
    if record is not None and [row["origin"] for row in record["rows"]] == [origin.facts for origin in origins]:
        return
    shard.record.unlink(missing_ok=True)
    old = Shards(job.old) if job.before else None
    for k, (source, origin) in enumerate(zip(job.sources, origins, strict=True)):
        clip = shard.kept(k)
        if clip is not None and clip.row["origin"] == origin.facts:
            continue
        yield k
        before = job.before[k] if job.before else None
        again = _again(old, before, origin, retry=job.retry) if old and before else None
        shard.keep(k, again or _made(job, source, origin))
    yield None
    shard.assemble(job.clips)


def _made(job: ShardJob, source: Any, origin: Origin) -> MadeClip:
    """Make a clip."""
    made = job.make(source)
    if isinstance(made, Broken):
        return origin.broken(made)
    row = {
        "id": made.id,
        "origin": origin.facts,
        "captions": made.captions,
        "seconds": None if math.isnan(made.duration) else round(made.duration, 3),
        "streams": made.streams,
    }
    return MadeClip(row, pack(made, half=job.half))


def _again(old: Shards, before: Before, origin: Origin, *, retry: bool) -> MadeClip | None:
    """Take a clip from the finished split; None if its files have changed or its record is damaged."""
    row = before.row
    if row["origin"] != origin.facts:
        return None
    if "reason" in row:
        return None if retry else MadeClip(row, None)
    try:
        old.check(before.index)
        record = old.record(before.index)
    except ValueError:
        return None
    meta = json.loads(record["meta"])
    if origin.captions is not None:
        meta["captions"] = list(origin.captions)
    blobs = {name: bytes(record[name]) for name in BLOBS}
    row = {"id": row["id"], "origin": row["origin"], "captions": meta["captions"]} | {
        key: row[key] for key in ("seconds", "streams")
    }
    return MadeClip(row, cast(Record, {"id": record["id"], "meta": json.dumps(meta, ensure_ascii=False), **blobs}))
