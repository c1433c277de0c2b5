"""One shard while its clips are made: every clip is written at once, so that a process that is killed loses only the one it is at.

A shard has three places in the folder of the unfinished split: ``clips/<n>/<k>`` for each clip until the shard is written,
``split/chunk-0-<n>.bin`` for the shard, and ``records/<n>.json`` for what is in it, written last.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zlib
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from avcap.atomic import put_in_place, write_atomically
from avcap.shards.item import BLOBS, Record

SPLIT = "split"  # folder of what becomes the split


class MadeClip(NamedTuple):
    """A clip as the shard keeps it.

    Attributes:
        row: What the manifest says of it; with a ``reason`` where it could not be made.
        record: Its record; None where it could not be made.
    """

    row: dict[str, Any]
    record: Record | None


@dataclass(frozen=True)
class UnfinishedShard:
    """The files of a shard that is being made.

    Attributes:
        folder: The folder of the unfinished split.
        number: The number of the shard.
    """

    folder: Path
    number: int

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"chunk-0-{self.number}.bin"

    @property
    def file(self) -> Path:
        """The shard itself."""
        return self.folder / SPLIT / self.name

    @property
    def record(self) -> Path:
        """What is in it; there once the shard is."""
        return self.folder / "records" / f"{self.number}.json"

    @property
    def clips(self) -> Path:
        """Folder of the clips that have been made, until the shard is written."""
        return self.folder / "clips" / str(self.number)

    def keep(self, k: int, clip: MadeClip) -> None:
        """Write the clip at position ``k``, after a checksum."""
        blobs = [] if clip.record is None else [clip.record[name] for name in BLOBS]
        meta = None if clip.record is None else clip.record["meta"]
        header = json.dumps({"row": clip.row, "meta": meta, "lengths": [len(blob) for blob in blobs]})
        content = b"\n".join((header.encode(), b"".join(blobs)))
        self.clips.mkdir(exist_ok=True)
        (self.clips / str(k)).write_bytes(b"%08x\n%b" % (zlib.crc32(content), content))

    def kept(self, k: int) -> MadeClip | None:
        """Read the clip at position ``k``; None if there is none, or a damaged one."""
        try:
            checksum, _, content = (self.clips / str(k)).read_bytes().partition(b"\n")
        except OSError:
            return None
        if checksum != b"%08x" % zlib.crc32(content):
            return None
        text, _, body = content.partition(b"\n")
        header = json.loads(text)
        if header["meta"] is None:
            return MadeClip(header["row"], None)
        ends = list(accumulate(header["lengths"], initial=0))
        blobs = {name: body[first:end] for name, first, end in zip(BLOBS, ends, ends[1:], strict=False)}
        return MadeClip(header["row"], cast(Record, {"id": header["row"]["id"], "meta": header["meta"], **blobs}))

    def assemble(self, count: int) -> None:
        """Write the shard from its ``count`` clips, then its record.

        Raises:
            OSError: if a clip cannot be read again.
        """
        from litdata.streaming.serializers import StringSerializer
        from litdata.streaming.writer import BinaryWriter

        class AnyText(StringSerializer):
            """Writes a text that is also the name of a file here as that text; litdata's own would write the file."""

            def can_serialize(self, data: object) -> bool:
                return isinstance(data, str)

        class PlainWriter(BinaryWriter):
            """Writes plain records; where pyarrow is installed, litdata would write an Arrow table of what it knows the types of."""

            _types = property(lambda _: None, lambda _, __: None)

        scratch = self.clips / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        writer = PlainWriter(
            str(scratch), chunk_size=count + 1, chunk_index=self.number, serializers={"str": AnyText()}
        )
        rows: list[dict[str, Any]] = []
        written: list[dict[str, Any]] = []
        for k in range(count):
            clip = self.kept(k)
            if clip is None:
                raise OSError(f"{self.clips / str(k)} cannot be read again; run the command again to go on.")
            rows.append(clip.row)
            if clip.record is not None:
                writer.add_item(len(written), clip.record)
                written.append(clip.row)
        writer.done()
        content: dict[str, Any] = {"rows": rows}
        self.file.unlink(missing_ok=True)
        if written:
            (made,) = scratch.glob("*.bin")
            (index,) = scratch.glob("*.json")
            facts = json.loads(index.read_text(encoding="utf-8"))
            offsets = np.fromfile(made, np.uint32, len(written) + 1, offset=4).tolist()
            for row, first, end in zip(written, offsets, offsets[1:], strict=False):
                row |= {"shard": self.name, "offset": first, "bytes": end - first}
            content |= {"chunk": {**facts["chunks"][0], "filename": self.name}, "config": facts["config"]}
            content |= {"file": proof(made)}
            put_in_place(made, self.file)
        write_atomically(self.record, json.dumps(content))
        shutil.rmtree(self.clips)

    def whole(self) -> dict[str, Any] | None:
        """Return its record; None if there is none, or the shard is not as the record says."""
        try:
            content = json.loads(self.record.read_text(encoding="utf-8"))
            intact = "file" not in content or proof(self.file, content["file"]["bytes"]) == content["file"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return content if intact else None


def proof(file: Path, length: int | None = None) -> dict[str, Any]:
    """Return the length and the checksum of a file.

    Args:
        file: The file.
        length: The length that it should have: the checksum of a file of another length is not computed.
    """
    found = file.stat().st_size
    if length is not None and found != length:
        return {"bytes": found}
    with file.open("rb") as content:
        return {"bytes": found, "sha256": hashlib.file_digest(content, "sha256").hexdigest()}


def forget_broken(folder: Path) -> None:
    """Have the clips that could not be made tried again: delete what an unfinished split notes about them."""
    for record in (folder / "records").glob("*.json"):
        if '"reason"' in record.read_text(encoding="utf-8"):
            record.unlink()
    for note in (folder / "clips").glob("*/[0-9]*"):
        clip = UnfinishedShard(folder, int(note.parent.name)).kept(int(note.name))
        if clip is None or clip.record is None:
            note.unlink()
