"""Media files and captions -> shards; parallel over processes, resumable, atomic.

A worker decodes the clips of one shard and writes it. Shards of an unfinished split wait in ``<split>.partial`` and are
kept when the work is taken up again; a finished split is renamed to ``<split>`` in one step and never touched again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

import torch

from avcap.data.captions import find_caption_file, read_captions
from avcap.data.front_end import make_front_end
from avcap.data.item import pack, read_item
from avcap.data.manifest import Clip, MediaIndex, find_clips
from avcap.data.media import MediaError
from avcap.data.shards import INDEX, SPLITS, ShardInfo
from avcap.ids import id_hash

QUARANTINE = "quarantine.jsonl"


@dataclass
class PrepareReport:
    """What became of each split.

    Attributes:
        out: The folder of the shards.
        splits: The facts of each split.
        kept: Names of splits that were finished before.
    """

    out: Path
    splits: list[ShardInfo] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def prepare(
    root: Path,
    out: Path | None = None,
    *,
    splits: Sequence[str] = SPLITS,
    media: Path | None = None,
    front_end: str = "kaldi",
    mels: int = 64,
    frames: int = 20,
    size: int = 224,
    features: Path | None = None,
    keep_waveform: bool = False,
    max_seconds: float | None = None,
    half: bool = True,
    clips_per_shard: int = 64,
    num_workers: int = 2,
    overwrite: bool = False,
    progress: bool = True,
) -> PrepareReport:
    """Make the shards of a data set.

    Args:
        root: Folder with ``<split>.csv`` or ``<split>.json``, and the media unless ``media`` is given.
        out: Where the shards go; None: ``<root>/shards``.
        splits: Splits to make; one without a caption file is left out.
        media: Folder of the media files.
        front_end: ``kaldi`` or ``ced``.
        mels: Mel bins of the spectrogram.
        frames: Pictures to store of each clip; 0 stores none.
        size: Height and width of the pictures in pixels.
        features: Folder of visual features made beforehand, one ``.npy`` ``[N, C]`` a clip.
        keep_waveform: Store the sound too (FLAC).
        max_seconds: Read no more of a clip than that, of its sound and its pictures; None reads all.
        half: Store spectrograms and features in float16, else in float32.
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
    if clips_per_shard < 1 or num_workers < 0 or frames < 0:
        raise ValueError("clips_per_shard must be at least 1, num_workers and frames at least 0.")
    captions = {split: path for split in splits if (path := find_caption_file(root, split)) is not None}
    if not captions:
        raise FileNotFoundError(f"{root} holds no caption file; expected {splits[0]}.csv or {splits[0]}.json.")
    settings = ShardInfo(
        split="",
        front_end=front_end,
        mels=make_front_end(front_end, mels).mels,
        frames=frames,
        size=size,
        dtype="float16" if half else "float32",
        waveform=keep_waveform,
        max_seconds=max_seconds,
    )
    index = MediaIndex([root if media is None else Path(media), *([Path(features)] if features else [])], exclude=out)
    report = PrepareReport(out)
    for split, path in captions.items():
        entries = read_captions(path)
        clips, missing = find_clips(entries, index)
        if not clips:
            raise ValueError(
                f"Of the {len(entries)} clips of {path} no media file was found in {root if media is None else media};"
                f" a file is named like {entries[0].file or entries[0].id + '.mp4'}."
            )
        info = replace(settings, split=split, clips=len(entries), missing=missing, plan=_plan(settings, clips, missing))
        finished = None if overwrite else _finished(out / split, info)
        if finished is None:
            finished = _make_split(out, info, clips, clips_per_shard, num_workers, progress)
        else:
            report.kept.append(split)
        report.splits.append(finished)
    _write_quarantine(report)
    return report


def _plan(settings: ShardInfo, clips: list[Clip], missing: list[str]) -> str:
    """A hash of everything that decides the content of a split, except where the files lie and what is in them."""
    names = [(c.id, c.captions, c.audio is not None, len(c.frames), c.features is not None) for c in clips]
    text = json.dumps([repr(settings), names, missing], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _finished(folder: Path, wanted: ShardInfo) -> ShardInfo | None:
    if not folder.is_dir():
        return None
    done = ShardInfo.load(folder)
    if done.plan != wanted.plan:
        raise ValueError(f"{folder} was made from other clips, captions or settings; add --overwrite to make it again.")
    return done


def _make_split(
    out: Path, info: ShardInfo, clips: list[Clip], clips_per_shard: int, num_workers: int, progress: bool
) -> ShardInfo:
    from tqdm import tqdm

    partial = out / f"{info.split}.partial"
    stamp = partial / "plan"
    if partial.is_dir() and not (stamp.is_file() and stamp.read_text() == f"{info.plan} {clips_per_shard}"):
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    stamp.write_text(f"{info.plan} {clips_per_shard}")
    jobs = [
        _Job(partial, number, clips[first : first + clips_per_shard], info)
        for number, first in enumerate(range(0, len(clips), clips_per_shard))
    ]
    todo = [job for job in jobs if not job.record.is_file()]
    done = len(clips) - sum(len(job.clips) for job in todo)
    with tqdm(total=len(clips), initial=done, desc=info.split, unit="clip", disable=not progress) as bar:
        if num_workers < 2 or len(todo) < 2:
            for job in todo:
                bar.update(_write_shard(job))
        else:
            context = get_context("fork" if sys.platform == "linux" else "spawn")
            with ProcessPoolExecutor(num_workers, mp_context=context, initializer=_one_thread) as pool:
                for future in as_completed([pool.submit(_write_shard, job) for job in todo]):
                    bar.update(future.result())
    return _publish(out / info.split, partial, jobs, info)


@dataclass
class _Job:
    """One shard to write."""

    folder: Path
    number: int
    clips: list[Clip]
    info: ShardInfo

    @property
    def record(self) -> Path:
        """Its presence says that the shard is complete."""
        return self.folder / f"{self.number}.record.json"

    @property
    def index(self) -> Path:
        """The shard's own litdata index; absent where no clip could be read."""
        return self.folder / f"{self.number}.index.json"


def _one_thread() -> None:
    torch.set_num_threads(1)


def _write_shard(job: _Job) -> int:
    """Decode the clips of a shard and write it; the number of clips tried."""
    from litdata.streaming.writer import BinaryWriter

    scratch = job.folder / f"{job.number}.scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    job.index.unlink(missing_ok=True)
    front_end = make_front_end(job.info.front_end, job.info.mels)
    writer = BinaryWriter(str(scratch), chunk_size=len(job.clips) + 1, chunk_index=job.number)
    written: list[tuple[str, int]] = []
    broken: list[dict[str, str]] = []
    for clip in job.clips:
        try:
            item = read_item(
                clip,
                front_end,
                frames=job.info.frames,
                size=job.info.size,
                keep_waveform=job.info.waveform,
                max_seconds=job.info.max_seconds,
            )
        except (MediaError, FileNotFoundError) as error:
            file = clip.audio or next(iter(clip.frames), clip.features)
            broken.append({"id": clip.id, "file": str(file), "reason": str(error)})
            continue
        writer.add_item(len(written), pack(item, half=job.info.dtype == "float16"))
        written.append((clip.id, len(clip.captions)))
    writer.done()
    for path in scratch.iterdir():
        path.replace(job.index if path.suffix == ".json" else job.folder / path.name)
    scratch.rmdir()
    _write_whole(job.record, json.dumps({"written": written, "broken": broken}, ensure_ascii=False))
    return len(job.clips)


def _publish(folder: Path, partial: Path, jobs: list[_Job], info: ShardInfo) -> ShardInfo:
    """Join the indices of the shards, write ``info.json``, and put the split in its place in one step."""
    records = [json.loads(job.record.read_text(encoding="utf-8")) for job in jobs]
    written = [(name, captions) for record in records for name, captions in record["written"]]
    info.broken = [failure for record in records for failure in record["broken"]]
    if not written:
        reason = info.broken[0]["reason"] if info.broken else "it has none"
        raise ValueError(f"No clip of the split {info.split} could be read; the first fault: {reason}")
    info.ids = [name for name, _ in written]
    info.id_hash = id_hash(info.ids)
    info.captions = {str(n): count for n, count in sorted(Counter(captions for _, captions in written).items())}
    indices = [json.loads(job.index.read_text()) for job in jobs if job.index.is_file()]
    chunks = [chunk for index in indices for chunk in index["chunks"]]
    (partial / INDEX).write_text(json.dumps({"chunks": chunks, "config": indices[0]["config"]}))
    info.save(partial)
    if folder.is_dir():
        shutil.rmtree(folder)
    partial.rename(folder)
    for leftover in (*folder.glob("*.record.json"), *folder.glob("*.index.json"), folder / "plan"):
        leftover.unlink()
    return info


def _write_quarantine(report: PrepareReport) -> None:
    lines = [json.dumps({"split": i.split, **b}, ensure_ascii=False) for i in report.splits for b in i.broken]
    if lines:
        _write_whole(report.out / QUARANTINE, "".join(f"{line}\n" for line in lines))
    else:
        (report.out / QUARANTINE).unlink(missing_ok=True)


def _write_whole(path: Path, text: str) -> None:
    scratch = path.with_name(path.name + ".tmp")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
