"""Derived columns: the spectrograms of a front end for all recordings of a split, stored beside its shards.

``<split>/derived/<fingerprint>/`` holds ``<n>.bin``, the raw features of some clips one after the other, and
``index.json``. It is only ever a copy of what can be computed again: a split that is made again loses its columns.
"""

from __future__ import annotations

import functools
import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from avcap.atomic import put_in_place, replacing, write_atomically
from avcap.frontends import FrontEnd
from avcap.lock import locked
from avcap.shards.chunks import OpenFiles
from avcap.shards.parallel import PLAN, Job, begin, run_jobs
from avcap.shards.reader import DERIVED, Shards, UnreadableClip

if TYPE_CHECKING:
    from torch import Tensor

INDEX = "index.json"


class _Place(NamedTuple):
    """The position of a clip's features in the file."""

    file: str
    offset: int  # in bytes
    shape: tuple[int, ...]
    crc32: int


class DerivedRow(NamedTuple):
    """What a column holds of a clip."""

    x: Tensor  # [T, ...] in the column's dtype
    mask: Tensor | None  # [T] bool; None where the column has none
    time: Tensor | None  # [T] float32, seconds; None where the column has none


class DerivedColumn:
    """Random access to what was derived of the clips of a split: spectrograms, or the tokens of an encoder.

    Args:
        folder: The folder of the column.
        shards: The split that it belongs to.

    Raises:
        ValueError: if its index is damaged or of other clips.
    """

    def __init__(self, folder: Path, shards: Shards) -> None:
        self.folder = folder
        self.ids = shards.ids
        self._files = OpenFiles(functools.partial(_located, shards, folder))
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            self.dtype: torch.dtype = getattr(torch, index["dtype"])
            self._masked, self._timed = (bool(index.get(name)) for name in ("mask", "time"))
            self._places = [None if place is None else _Place(*place) for place in index["places"]]
            same = index["id_hash"] == shards.info.id_hash and len(self._places) == len(shards)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{folder / INDEX} is damaged; delete {folder} and run `avcap data derive`.") from error
        if not same:
            raise ValueError(f"{folder} is of other clips; delete it and run `avcap data derive`.")

    @classmethod
    def find(cls, shards: Shards, frontend: FrontEnd) -> DerivedColumn | None:
        """Open the column of a front end; None if there is none.

        Raises:
            ValueError: if its index is damaged or of other clips.
        """
        folder = folder_of(shards, frontend)
        return cls(folder, shards) if folder.is_dir() else None

    def __getitem__(self, index: int) -> Tensor | None:
        """Return the raw spectrogram ``[T, F]`` float32 of a clip; None for a clip without sound.

        Raises:
            UnreadableClip: if the file cannot be read, or has changed; the message names it.
        """
        found = self.row(index)
        return None if found is None else found.x.float()

    def row(self, index: int) -> DerivedRow | None:
        """Return what is kept of a clip, after a look at its checksum; None for a clip without that stream.

        Raises:
            UnreadableClip: if the file cannot be read, or has changed; the message names it.
        """
        place = self._places[index]
        if place is None:
            return None
        rows, end = place.shape[0], math.prod(place.shape) * self.dtype.itemsize
        try:
            stored = self._files[place.file].read(place.offset, end + rows * (self._masked + 4 * self._timed))
            if zlib.crc32(stored) != place.crc32:
                raise ValueError("other checksum")
        except ConnectionError:
            raise  # a store that cannot be reached is no fault of the clip
        except (OSError, ValueError) as error:
            raise UnreadableClip(
                self.ids[index],
                f"{self.folder / place.file} is damaged at the clip {self.ids[index]}; delete {self.folder} and run "
                "`avcap data derive`.",
            ) from error
        view, timed_from = memoryview(stored), end + rows * self._masked
        return DerivedRow(
            torch.frombuffer(view[:end], dtype=self.dtype).reshape(place.shape),
            torch.frombuffer(view[end:timed_from], dtype=torch.bool) if self._masked else None,
            torch.from_numpy(np.frombuffer(view[timed_from:], np.float32)) if self._timed else None,
        )

    def check(self, index: int) -> None:
        """Read a clip and compare its checksum.

        Raises:
            UnreadableClip: if it cannot be read or has changed; the message names the file.
        """
        self.row(index)


def _located(shards: Shards, folder: Path, name: str) -> Path:
    return shards.locate((folder / name).relative_to(shards.folder).as_posix())


def folder_of(shards: Shards, frontend: FrontEnd) -> Path:
    """Return the folder of a front end's column, which need not exist."""
    return shards.folder / DERIVED / frontend.fingerprint


@dataclass(frozen=True)
class _Piece(Job):
    """Some clips of a column; the record says where their features stand in the file."""

    shards: Shards
    indices: range
    frontend: FrontEnd

    @property
    def clips(self) -> int:
        return len(self.indices)


def write_column(
    shards: Shards, frontend: FrontEnd, *, clips_per_file: int = 512, num_workers: int = 2, progress: bool = True
) -> bool:
    """Write the column of a front end in one step; resume interrupted work.

    Args:
        shards: The split.
        frontend: What makes the features; stored in float16 or float32, as the split's visual features.
        clips_per_file: Clips in one file.
        num_workers: Processes; below 2, this one alone.
        progress: Show a progress bar.

    Returns:
        Whether it was written now; False: it was there, or no clip has sound.

    Raises:
        ValueError: if the front end reads another sample rate, or a number is out of range.
        BlockingIOError: if another process writes this column.
    """
    if clips_per_file < 1 or num_workers < 0:
        raise ValueError(
            f"clips_per_file must be at least 1 and num_workers not negative, got {clips_per_file} and {num_workers}."
        )
    shards.require_rate(frontend)
    folder = folder_of(shards, frontend)
    if folder.is_dir() or not shards.info.streams["audio"]:
        return False
    with locked(folder.parent, f".{folder.name}.lock"):
        if folder.is_dir():  # made while this process waited
            return False
        partial = folder.with_name(f"{folder.name}.partial")
        begin(partial, f"{shards.info.plan} {shards.info.id_hash} {clips_per_file}")
        starts = range(0, len(shards), clips_per_file)
        pieces = [
            _Piece(partial, number, shards, range(start, min(len(shards), start + clips_per_file)), frontend)
            for number, start in enumerate(starts)
        ]
        title = f"{shards.info.split}: {frontend.fingerprint}"
        run_jobs(pieces, _write, title=title, num_workers=num_workers, progress=progress)
        _publish(folder, partial, pieces)
    return True


def _write(piece: _Piece) -> None:
    """Compute and write some clips."""
    places: list[_Place | None] = []
    file = f"{piece.number}.bin"
    dtype = np.dtype(piece.shards.info.dtype)
    with replacing(piece.folder / file) as fresh, fresh.open("wb") as out:
        for index in piece.indices:
            wave = piece.shards.item(index, streams=("waveform",)).waveform
            if wave is None:
                places.append(None)
                continue
            content = piece.frontend.features(wave).numpy().astype(dtype)
            places.append(_Place(file, out.tell(), content.shape, zlib.crc32(content.tobytes())))
            out.write(content.tobytes())
    write_atomically(piece.record, json.dumps(places))


def _publish(folder: Path, partial: Path, pieces: Sequence[_Piece]) -> None:
    """Join the records and put the column in its place in one step."""
    shards, frontend = pieces[0].shards, pieces[0].frontend
    places = [place for piece in pieces for place in json.loads(piece.record.read_text())]
    facts = {"front_end": type(frontend).__name__, "settings": frontend.settings, "sample_rate": frontend.sample_rate}
    index = {**facts, "dtype": shards.info.dtype, "id_hash": shards.info.id_hash, "places": places}
    write_atomically(partial / INDEX, json.dumps(index, default=str))
    for leftover in (*(piece.record for piece in pieces), partial / PLAN):
        leftover.unlink()
    put_in_place(partial, folder)
