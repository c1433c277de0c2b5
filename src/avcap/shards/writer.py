"""One split of shards, written from any source of clips; parallel over processes, resumable, atomic.

``<split>.<key>.partial`` holds a split that is not finished: ``plan.json`` with what is made in how many shards, and the shards (see
:mod:`avcap.shards.unfinished`). The key stands for its plan, so that other settings begin a folder of their own and touch no work
of these. What becomes ``<split>`` is in the folder ``split``, which is moved to its place in one step.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from avcap.atomic import ODD, put_in_place, replacing, restore, write_atomically
from avcap.frontends.inputs import KEYS
from avcap.ids import id_hash
from avcap.jsonl import read_json_lines
from avcap.lock import locked
from avcap.shards.item import Item
from avcap.shards.job import Before, Broken, Origin, ShardJob, write_shard
from avcap.shards.parallel import NO_LIMITS, Limits, run_jobs
from avcap.shards.reader import CAPTIONS, INDEX, MANIFEST, ShardInfo
from avcap.shards.unfinished import SPLIT, UnfinishedShard, forget_broken, proof

LAYOUT = "clips/records/split"  # of unfinished work: that of another layout is not taken up
PLAN_FILE = "plan.json"
READ_BY = ("frames", "size", "dtype", "sample_rate", "max_seconds", "visual_width", "reading")  # what decides a record


@dataclass(frozen=True)
class Part:
    """A share of the shards: those whose number leaves the remainder ``index`` when divided by ``count``."""

    index: int = 0
    count: int = 1


WHOLE = Part()


class WrittenSplit(NamedTuple):
    """What became of a split.

    Attributes:
        info: Its facts; of a part, those that are known before.
        kept: It was finished before, and is left as it is.
        changed: Clips of a kept split whose files have changed since.
        finished: It is complete; else this part of it is.
    """

    info: ShardInfo
    kept: bool = False
    changed: int = 0
    finished: bool = True


def number_of(source: object) -> Origin:
    """Return the origin of a clip that is made from nothing but a number."""
    return Origin(str(source), f"clip {source}", {})


def write_split(
    out: Path,
    info: ShardInfo,
    sources: Sequence[Any],
    make: Callable[[Any], Item | Broken],
    *,
    origin: Callable[[Any], Origin] = number_of,
    clips_per_shard: int = 64,
    num_workers: int = 2,
    limits: Limits = NO_LIMITS,
    part: Part = WHOLE,
    overwrite: bool = False,
    update: bool = False,
    retry: bool = False,
    progress: bool = True,
) -> WrittenSplit:
    """Write a split, or what is missing of it; a finished one is kept.

    Args:
        out: Folder of the splits.
        info: Name and settings of the split; ``plan`` stands for everything that decides its content.
        sources: What each clip is made from, in order.
        make: Makes one clip; it, ``origin`` and the sources are pickled for the worker processes.
        origin: Tells where a clip comes from.
        clips_per_shard: Clips in one shard file.
        num_workers: Processes; 0: this one alone, without limits and without protection from a decoder that crashes.
        limits: What a clip may take; one that takes more is broken.
        part: The share of the shards to make; :func:`merge_splits` joins the shares.
        overwrite: Make a finished split again.
        update: Make a finished split again where clips or their files have changed, and take the other records from it.
        retry: The same, and try broken clips again.
        progress: Show a progress bar.

    Returns:
        The facts of the split, with ids and broken clips, and whether it was finished before.

    Raises:
        ValueError: if a number is out of range, a finished split has another plan and neither ``overwrite`` nor ``update`` is
            on, it has other settings and ``update`` is on, or no clip could be made.
        ChildProcessError: if worker processes died while they were reading no clip.
    """
    if clips_per_shard < 1 or num_workers < 0:
        raise ValueError(
            f"clips_per_shard must be at least 1 and num_workers must not be negative, got {clips_per_shard}, {num_workers}."
        )
    folder = out / info.split
    restore(folder)
    before: dict[str, Before] = {}
    if folder.is_dir() and not overwrite:
        done = ShardInfo.load(folder)
        before = _before(folder)
        changed = sum(_has_changed(origin(source), before) for source in sources) if before else 0
        if not (update or retry):
            if done.reading != info.reading:
                raise ValueError(
                    f"{folder} was made by an earlier version, which read files in another way; add --overwrite to make it again."
                )
            if done.plan != info.plan:
                raise ValueError(
                    f"{folder} was made from other clips, captions or settings; add --overwrite to make it again, or --update to "
                    "make again only what has changed."
                )
            return WrittenSplit(done, kept=True, changed=changed)
        _require_same_settings(folder, done, info, before)
        if done.plan == info.plan and not changed and not (retry and done.broken):
            return WrittenSplit(done, kept=True)
    partial = _partial(out, info, clips_per_shard, again=overwrite and folder.is_dir())
    starts = range(0, len(sources), clips_per_shard)
    for name in ("clips", "records", SPLIT):
        (partial / name).mkdir(parents=True, exist_ok=True)
    with locked(partial):  # other parts begin at the same time
        write_atomically(partial / PLAN_FILE, json.dumps({"info": asdict(info), "shards": len(starts)}))
    if retry:
        forget_broken(partial)
    again = [before.get(origin(source).id) for source in sources] if before else []
    jobs = [
        ShardJob(
            partial,
            number,
            sources[first : first + clips_per_shard],
            make,
            origin,
            info.dtype == "float16",
            folder,
            again[first : first + clips_per_shard],
            retry,
        )
        for number, first in enumerate(starts)
        if number % part.count == part.index
    ]
    run_jobs(jobs, write_shard, title=info.split, num_workers=num_workers, progress=progress, limits=limits)
    if part.count > 1:
        return WrittenSplit(info, finished=False)
    return WrittenSplit(_publish(folder, partial, len(jobs), info))


def merge_splits(out: Path) -> list[ShardInfo]:
    """Join the parts of every split that several processes made, and check each shard by its checksum.

    Args:
        out: Folder of the splits.

    Returns:
        The facts of the splits that are finished now.

    Raises:
        FileNotFoundError: if there is no unfinished split.
        ValueError: if parts are missing or damaged; the message tells which.
    """
    plans: dict[str, list[tuple[Path, ShardInfo, list[int], int]]] = {}
    for plan in sorted(out.glob(f"*.partial/{PLAN_FILE}")):
        content = json.loads(plan.read_text(encoding="utf-8"))
        count, info = content["shards"], ShardInfo(**content["info"])
        missing = [n for n in range(count) if UnfinishedShard(plan.parent, n).whole() is None]
        plans.setdefault(info.split, []).append((plan.parent, info, missing, count))
    if not plans:
        raise FileNotFoundError(f"There is no unfinished split in {out}; `avcap data prepare` makes them.")
    chosen = []
    for split, found in plans.items():
        complete = [(partial, info, count) for partial, info, missing, count in found if not missing]
        if len(complete) > 1:
            raise ValueError(
                f"{' and '.join(str(p) for p, *_ in complete)} are both complete; delete the one that you do not want."
            )
        if not complete:
            partial, _, missing, count = min(found, key=lambda one: len(one[2]))
            raise ValueError(
                f"{partial} lacks {len(missing)} of the {count} shards of {split} (the first: {missing[0]}); run the parts that did "
                "not end again, with the same options."
            )
        chosen += complete
    return [_publish(out / info.split, partial, count, info) for partial, info, count in chosen]


def unfinished(out: Path, split: str) -> list[Path]:
    """Return the folders of unfinished work of a split, and delete what is left of finished work."""
    found = sorted(out.glob(f"{split}.*.partial"))
    for folder in found:
        if not (folder / SPLIT).is_dir():  # it has been moved to its place
            shutil.rmtree(folder)
    return [folder for folder in (out / f"{split}.partial", *found) if folder.is_dir()]


def _partial(out: Path, info: ShardInfo, clips_per_shard: int, *, again: bool) -> Path:
    key = hashlib.sha256(f"{info.plan} {clips_per_shard} {LAYOUT} {again}".encode()).hexdigest()[:8]
    return out / f"{info.split}.{key}.partial"


def _before(folder: Path) -> dict[str, Before]:
    """Return the clips of a finished split by their ids; none if it has no manifest, as those of earlier versions."""
    if not (folder / MANIFEST).is_file():
        return {}
    found, index = {}, 0
    for _, row in read_json_lines(folder / MANIFEST):
        found[row["id"]] = Before(index, row)
        index += "reason" not in row
    return found


def _has_changed(origin: Origin, before: dict[str, Before]) -> bool:
    found = before.get(origin.id)
    return found is None or found.row["origin"] != origin.facts


def _require_same_settings(folder: Path, done: ShardInfo, wanted: ShardInfo, before: dict[str, Before]) -> None:
    """Refuse to take records from a split that was made differently."""
    if not before:
        raise ValueError(
            f"{folder} was made by an earlier version and cannot be updated; add --overwrite to make it again."
        )
    differing = [name for name in READ_BY if getattr(done, name) != getattr(wanted, name)]
    if differing:
        name = differing[0]
        raise ValueError(
            f"{folder} was made with {name} {getattr(done, name)}, not {getattr(wanted, name)}, so nothing of it can be used again; "
            "add --overwrite to make it again."
        )


def _publish(folder: Path, partial: Path, count: int, info: ShardInfo) -> ShardInfo:
    """Write the files about the shards, and put the split in its place in one step."""
    split = partial / SPLIT
    info.ids, info.broken, info.files = [], [], {}
    counts: Counter[str] = Counter()
    streams: Counter[str] = Counter()
    chunks, config = [], None
    with ExitStack() as stack:
        manifest, captions = (
            stack.enter_context(stack.enter_context(replacing(split / name)).open("w", encoding="utf-8", errors=ODD))
            for name in (MANIFEST, CAPTIONS)
        )
        for number in range(count):
            record = json.loads(UnfinishedShard(partial, number).record.read_text(encoding="utf-8"))
            if "chunk" in record:
                chunks.append(record["chunk"])
                config = config or record["config"]
                info.files[record["chunk"]["filename"]] = record["file"]
            for row in record["rows"]:
                if "reason" in row:
                    info.broken.append({key: row[key] for key in ("id", "file", "reason")})
                else:
                    info.ids.append(row["id"])
                    streams.update(row["streams"])
                    texts = row.pop("captions")
                    counts[str(len(texts))] += 1
                    captions.write(json.dumps({"id": row["id"], "captions": texts}, ensure_ascii=False) + "\n")
                manifest.write(json.dumps(row, ensure_ascii=False) + "\n")
    if not info.ids:
        reason = info.broken[0]["reason"] if info.broken else "it has none"
        raise ValueError(
            f"No clip of the split {info.split} could be read; the first fault: {reason.rstrip('.')}. Once that is put right, add "
            "--retry."
        )
    info.id_hash = id_hash(info.ids)
    info.streams = {key: streams[key] for key in KEYS}
    info.captions = {number: counts[number] for number in sorted(counts, key=int)}
    write_atomically(split / INDEX, json.dumps({"chunks": chunks, "config": config}))
    info.files |= {name: proof(split / name) for name in (INDEX, MANIFEST, CAPTIONS)}
    info.save(split)
    put_in_place(split, folder)
    shutil.rmtree(partial)
    return info
