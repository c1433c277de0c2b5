"""Token columns: what a frozen encoder makes of all clips of a split, stored once beside its shards."""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from filelock import FileLock
from torch import Tensor
from torch.utils.data import DataLoader

from avcap.atomic import write_atomically
from avcap.data.collate import Sample, collate
from avcap.data.dataset import ClipDataset
from avcap.frontends.inputs import AUDIO, FEATURES
from avcap.shards.derived import INDEX, DerivedColumn
from avcap.shards.parallel import PLAN, begin
from avcap.shards.reader import DERIVED
from avcap.types import Batch, Tokens

log = logging.getLogger(__name__)


class TokenJob(NamedTuple):
    """How tokens are written.

    Attributes:
        dtype: In which they are stored: float32, bfloat16 or float16.
        batch_size: Clips that are encoded at once.
        num_workers: Processes that read the clips.
        clips_per_file: Clips in one file.
        rank: This process, of those that share the work.
        world_size: Number of these processes.
    """

    dtype: str = "float32"
    batch_size: int = 16
    num_workers: int = 2
    clips_per_file: int = 256
    rank: int = 0
    world_size: int = 1


def token_folder(dataset: ClipDataset, key: str, encoder: str) -> Path | None:
    """Return the folder of an encoder's tokens of a split, which need not exist.

    Args:
        dataset: The split, with its choice of frames.
        key: What the encoder reads: ``audio``, ``frames`` or ``visual_features``.
        encoder: Fingerprint of the encoder and its weights.

    Returns:
        None where its input is not the same in every epoch: augmented sound, frames drawn at random or at the time of a caption.
    """
    if key == AUDIO:
        return None if dataset.transforms else dataset.shards.folder / DERIVED / encoder
    frames, stored = dataset.frames, dataset.shards.info.frames
    if dataset.timed or (dataset.training and frames.sampling == "random"):
        return None
    whole = frames.count is None or frames.count >= stored > 0
    chosen = "" if whole else f"-{frames.count}_{frames.sampling.replace('random', 'centre')}"
    return dataset.shards.folder / DERIVED / f"{encoder}{chosen}"


def find_tokens(dataset: ClipDataset, key: str, encoder: str) -> DerivedColumn | None:
    """Open the tokens of an encoder; None where they are not there or not usable.

    Raises:
        ValueError: if their index is damaged or of other clips.
    """
    folder = token_folder(dataset, key, encoder)
    return DerivedColumn(folder, dataset.shards) if folder is not None and folder.is_dir() else None


def tokens_for(model: Any, dataset: ClipDataset) -> dict[str, DerivedColumn]:
    """Return the tokens that a model's frozen encoders made of the clips before, by the key that they read; tell which."""
    if not hasattr(model, "frozen_tokens") or not any((dataset.shards.folder / DERIVED).glob(f"*_tokens-*/{INDEX}")):
        return {}
    found = {key: find_tokens(dataset, key, name) for key, name in model.frozen_tokens().items()}
    for key in (key for key in dataset.inputs.keys if key != FEATURES):
        column = found.get(key)
        if column is None:
            log.info(
                "Training encodes the %s of each clip: no tokens of this encoder, or it learns, or its input varies.",
                key,
            )
        else:
            log.info("Training reads the tokens of %s from %s.", key, column.folder)
    return {key: column for key, column in found.items() if column is not None}


def write_tokens(
    dataset: ClipDataset,
    key: str,
    encoder: str,
    encode: Callable[[Batch], Tokens | None],
    job: TokenJob,
    *,
    progress: bool = True,
) -> bool:
    """Encode all clips of a split; resume interrupted work. Processes that share the work need a common folder; the last one publishes.

    Args:
        dataset: The split, as in evaluation.
        key: What the encoder reads.
        encoder: Its fingerprint.
        encode: A batch -> its tokens ``[B, N, C]``.
        job: How.
        progress: Show a progress bar.

    Returns:
        Whether this process published the column; False: it was there, or another process has work left.

    Raises:
        ValueError: if a clip cannot be read or has tokens that are not finite.
    """
    from tqdm import tqdm

    folder = token_folder(dataset, key, encoder)
    if folder is None or folder.is_dir():
        return False
    folder.parent.mkdir(exist_ok=True)
    partial, clips = folder.with_name(f"{folder.name}.partial"), len(dataset)
    with FileLock(folder.parent / ".lock"):
        if folder.is_dir():
            return False
        begin(partial, f"{dataset.shards.info.plan} {dataset.shards.info.id_hash} {job.clips_per_file} {job.dtype}")
    starts = range(0, clips, job.clips_per_file)
    pieces = {number: range(start, min(clips, start + job.clips_per_file)) for number, start in enumerate(starts)}
    mine = [n for n in list(pieces)[job.rank :: job.world_size] if not _record(partial, n).is_file()]
    batches = [
        list(pieces[n][at : at + job.batch_size]) for n in mine for at in range(0, len(pieces[n]), job.batch_size)
    ]
    loader = DataLoader(dataset, batch_sampler=batches, num_workers=job.num_workers, collate_fn=list)
    samples = iter(
        tqdm(
            (s for batch in loader for s in batch),
            total=sum(map(len, batches)),
            unit="clip",
            desc=folder.name,
            disable=not progress,
        )
    )
    for number in mine:
        _write_piece(partial, number, _encoded(islice(samples, len(pieces[number])), key, encode, job), job.dtype)
    with FileLock(folder.parent / ".lock"):
        if folder.is_dir() or not all(_record(partial, n).is_file() for n in pieces):
            return False
        _publish(folder, partial, list(pieces), dataset, job.dtype)
    return True


def _encoded(
    samples: Iterator[Sample], key: str, encode: Callable[[Batch], Tokens | None], job: TokenJob
) -> Iterator[tuple[str, Tokens | None]]:
    """Yield the tokens ``[N, C]`` of each clip, without padding: only inputs of one shape are encoded together."""
    waiting: list[Sample] = []
    for sample in samples:
        if waiting and (len(waiting) == job.batch_size or _shape(sample, key) != _shape(waiting[0], key)):
            yield from _rows(waiting, key, encode)
            waiting = []
        waiting.append(sample)
    yield from _rows(waiting, key, encode)


def _rows(
    samples: Sequence[Sample], key: str, encode: Callable[[Batch], Tokens | None]
) -> Iterator[tuple[str, Tokens | None]]:
    tokens = encode(collate(samples)) if samples and _shape(samples[0], key) else None
    for place, sample in enumerate(samples):
        if tokens is None:
            yield sample["id"], None
        else:
            x, mask, time = (None if field is None else field[place].cpu() for field in tokens)
            yield sample["id"], Tokens(cast(Tensor, x), mask, time)


def _shape(sample: Sample, key: str) -> tuple[int, ...] | None:
    given = cast(dict[str, Any], sample).get(key)
    return None if given is None else tuple(given.shape)


def _write_piece(partial: Path, number: int, rows: Iterator[tuple[str, Tokens | None]], dtype: str) -> None:
    """Write the tokens of some clips, then note where they stand."""
    places: list[tuple[str, int, list[int], int] | None] = []
    fields: list[bool] | None = None
    with (partial / f"{number}.bin").open("wb") as out:
        for clip, row in rows:
            if row is None:
                places.append(None)
                continue
            x = row.x.to(getattr(torch, dtype))
            if not x.isfinite().all():
                raise ValueError(
                    f"The encoder gives tokens of the clip {clip} that are not finite in {dtype}; choose another dtype."
                )
            parts = [x, *(field for field in row[1:] if field is not None)]
            content = b"".join(_bytes(part) for part in parts)
            places.append((f"{number}.bin", out.tell(), list(x.shape), zlib.crc32(content)))
            out.write(content)
            fields = [field is not None for field in row[1:]]
        out.flush()
        os.fsync(out.fileno())
    write_atomically(_record(partial, number), json.dumps({"places": places, "fields": fields}))


def _publish(folder: Path, partial: Path, pieces: Sequence[int], dataset: ClipDataset, dtype: str) -> None:
    """Join the records and put the column in its place in one step."""
    records = [json.loads(_record(partial, number).read_text()) for number in pieces]
    mask, time = next((record["fields"] for record in records if record["fields"]), (False, False))
    places = [place for record in records for place in record["places"]]
    facts = {"dtype": dtype, "mask": mask, "time": time, "id_hash": dataset.shards.info.id_hash, "places": places}
    write_atomically(partial / INDEX, json.dumps(facts))
    for leftover in (*(_record(partial, number) for number in pieces), partial / PLAN):
        leftover.unlink()
    partial.rename(folder)


def _record(partial: Path, number: int) -> Path:
    return partial / f"{number}.record.json"


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
