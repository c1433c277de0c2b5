"""Positioned reads of the records in litdata's chunk files: only the wanted bytes, from any process or thread.

A chunk is ``uint32 count, uint32 offsets[count + 1]``, then its records; a record is ``uint32 sizes[5]``, then its five fields.
"""

from __future__ import annotations

import json
import os
import struct
from bisect import bisect_right
from collections.abc import Callable, Collection
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, cast

from avcap.shards.item import BLOBS, Record

FIELDS = ("id", "meta", *BLOBS)
SIZES = struct.Struct(f"<{len(FIELDS)}I")
HEAD = 4096  # bytes of a record that are read at first: sizes, id and meta, as a rule
OPEN_FILES = 64


class PositionedFile:
    """A file that is read at positions; closed when nobody holds it any more.

    Args:
        path: The file.

    Raises:
        OSError: if it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = -1
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def read(self, start: int, count: int) -> bytearray:
        """Return ``count`` bytes from ``start``.

        Raises:
            ValueError: if the file ends before.
            OSError: if it cannot be read.
        """
        found = bytearray(count)
        view, done = memoryview(found), 0
        while done < count:
            got = os.preadv(self._descriptor, [view[done:]], start + done)
            if not got:
                raise ValueError(f"it ends at byte {start + done}")
            done += got
        return found


class OpenFiles:
    """The files of a folder, opened when they are read; those read longest ago are closed first.

    A positioned read moves no common position, so forked workers and threads share what is open.

    Args:
        locate: Name of a file -> where it lies.
        limit: Files that are open at once.
    """

    def __init__(self, locate: Callable[[str], Path], limit: int = OPEN_FILES) -> None:
        self._settings = locate, limit
        self._opened = lru_cache(limit)(
            lambda name: PositionedFile(locate(name))
        )  # no lock that a fork could leave shut

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenFiles, self._settings

    def __getitem__(self, name: str) -> PositionedFile:
        return self._opened(name)


class Chunks:
    """The records of a split, by number.

    Args:
        index: Content of litdata's ``index.json``.
        locate: Name of a chunk file -> where it lies.

    Raises:
        ValueError: if the chunks hold other fields, or are compressed.
        KeyError: if the index lacks an entry.
    """

    def __init__(self, index: dict[str, Any], locate: Callable[[str], Path]) -> None:
        fields = json.loads(json.loads(index["config"]["data_spec"])[1]["context"])
        if tuple(fields) != FIELDS or index["config"].get("compression"):
            raise ValueError(f"its chunks do not hold plain records of {', '.join(FIELDS)}")
        self.files: list[str] = [chunk["filename"] for chunk in index["chunks"]]
        if not all(isinstance(name, str) for name in self.files):
            raise ValueError("it names a chunk file by something else than a text")
        self.sizes: list[int] = [chunk["chunk_bytes"] for chunk in index["chunks"]]
        self.ends = list(accumulate(chunk["chunk_size"] for chunk in index["chunks"]))
        self._open = OpenFiles(locate)
        self._offsets: dict[int, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def chunk_of(self, index: int) -> int:
        """Return the number of the chunk that holds a record."""
        return bisect_right(self.ends, index)

    def read(self, index: int, blobs: Collection[str] = BLOBS) -> Record:
        """Return a record; a blob that is neither wanted nor empty is left out of it.

        Raises:
            ValueError: if the chunk is damaged; the message is a clause without the name of the file.
            OSError: if it cannot be read.
        """
        chunk = self.chunk_of(index)
        file = self._open[self.files[chunk]]
        offsets = self._offsets.get(chunk) or self._read_offsets(chunk, file)
        place = index - (self.ends[chunk - 1] if chunk else 0)
        start, end = offsets[place : place + 2]
        head = file.read(start, min(HEAD, end - start))
        sizes = SIZES.unpack_from(head)
        if SIZES.size + sum(sizes) != end - start:
            raise ValueError("its sizes do not add up")
        record: dict[str, Any] = {}
        at = SIZES.size
        for name, size in zip(FIELDS, sizes, strict=True):
            if name in ("id", "meta") or name in blobs or not size:
                held = at + size <= len(head)
                content = memoryview(head)[at : at + size] if held else memoryview(file.read(start + at, size))
                record[name] = content if name in BLOBS else str(content, "utf-8")
            at += size
        return cast(Record, record)

    def _read_offsets(self, chunk: int, file: PositionedFile) -> tuple[int, ...]:
        count = self.ends[chunk] - (self.ends[chunk - 1] if chunk else 0)
        found, *offsets = struct.unpack(f"<{count + 2}I", file.read(0, 4 * (count + 2)))
        if found != count or offsets[0] < 4 * (count + 2) or any(a > b - SIZES.size for a, b in pairwise(offsets)):
            raise ValueError(f"its table of {count} clips is damaged")
        self._offsets[chunk] = tuple(offsets)
        return self._offsets[chunk]
