"""Shards of one split: a litdata folder with random access, the facts about it in `info.json`, its captions by themselves."""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from avcap.atomic import ODD, write_atomically
from avcap.data.frame_sampling import Choose
from avcap.data.item import BLOBS, Item, Meta, Record, checksum, unpack
from avcap.data.media import even_indices
from avcap.frontends import FrontEnd
from avcap.frontends.base import SAMPLE_RATE
from avcap.jsonl import read_json_lines

INFO = "info.json"
INDEX = "index.json"
CAPTIONS = "captions.jsonl"
MANIFEST = "manifest.jsonl"
DERIVED = "derived"  # folder of what front ends made of the recordings
SPLITS = ("train", "val", "test")


@dataclass
class ShardInfo:
    """What `info.json` of a split holds.

    Attributes:
        split: Name of the split.
        frames: Frames a clip, 0 where none were stored.
        size: Height and width of the frames in pixels.
        dtype: float16 or float32, of visual features and derived columns.
        sample_rate: Samples a second of the recordings.
        max_seconds: Sound and frames beyond this were cut.
        ids: Clip ids in the order of the shards.
        id_hash: Hash of the sorted ids.
        clips: Clips in the caption file.
        missing: Ids of which no file was found.
        broken: ``{id, file, reason}`` of clips that could not be decoded.
        streams: Key of a batch (``audio``, ``frames``, ``visual_features``) -> clips that have it.
        captions: Number of captions of each written clip -> number of such clips.
        plan: Hash of clips, captions and settings, by which a finished split is recognised.
        visual_width: Channels of the visual features that were made beforehand; None without them.
        reading: Version of the way in which media files are read; the records of another version are not used again.
        files: Name of every other file of the split -> its length (``bytes``) and its checksum (``sha256``).
    """

    split: str
    frames: int
    size: int
    dtype: str = "float16"
    sample_rate: int = SAMPLE_RATE
    max_seconds: float | None = None
    ids: list[str] = field(default_factory=list)
    id_hash: str = ""
    clips: int = 0
    missing: list[str] = field(default_factory=list)
    broken: list[dict[str, str]] = field(default_factory=list)
    streams: dict[str, int] = field(default_factory=dict)
    captions: dict[str, int] = field(default_factory=dict)
    plan: str = ""
    visual_width: int | None = None
    reading: int = 1
    files: dict[str, dict[str, int | str]] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write ``info.json`` into ``folder``."""
        write_atomically(folder / INFO, json.dumps(asdict(self), indent=1, ensure_ascii=False).encode(errors=ODD))

    @classmethod
    def load(cls, folder: Path) -> ShardInfo:
        """Read ``info.json`` of ``folder``.

        Raises:
            FileNotFoundError: if the folder holds no shards.
            ValueError: if the file is damaged, or of shards that hold spectrograms in place of recordings.
        """
        path = folder / INFO
        if not path.is_file():
            others = [name for name in SPLITS if (folder.parent / name / INFO).is_file()]
            beside = f", only of {' and '.join(others)}" if others else ""
            raise FileNotFoundError(
                f"There are no shards in {folder} (no {INFO}){beside}; make them with `avcap data prepare`."
            )
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if "front_end" in content:
                raise ValueError(
                    f"The shards in {folder} hold spectrograms in place of the sound; make them again with `avcap data prepare "
                    "--overwrite`."
                )
            return TypeAdapter(cls).validate_python(content)
        except (UnicodeDecodeError, json.JSONDecodeError, TypeError, ValidationError) as error:
            fault = error.errors()[0] if isinstance(error, ValidationError) else None
            reason = f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" if fault else error
            raise ValueError(f"{path} is damaged ({reason}); make the shards again with --overwrite.") from error


class Shards:
    """Random access to the clips of one split. Opened lazily, so that each worker process opens its own.

    Args:
        folder: The folder of a split.

    Raises:
        FileNotFoundError: if there are no shards.
        ValueError: if the index does not match the list of ids.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.info = ShardInfo.load(self.folder)
        self._dataset: Sequence[Record] | None = None
        self._owner = 0  # process that opened it
        if not self.info.ids:
            raise ValueError(f"The split in {self.folder} holds no clip.")
        try:
            chunks = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))["chunks"]
        except (OSError, json.JSONDecodeError, KeyError) as error:
            raise ValueError(f"{self.folder / INDEX} is missing or damaged; make the shards again.") from error
        self._files = [chunk["filename"] for chunk in chunks]
        self._ends = list(accumulate(chunk["chunk_size"] for chunk in chunks))
        if self._ends[-1:] != [len(self.info.ids)]:
            raise ValueError(f"{self.folder / INDEX} counts {self._ends[-1:]} clips and {INFO} {len(self.info.ids)}.")

    @property
    def ids(self) -> list[str]:
        """Clip ids, in order."""
        return self.info.ids

    def require_rate(self, frontend: FrontEnd) -> None:
        """Refuse a front end that reads another sample rate.

        Raises:
            ValueError: naming both.
        """
        if self.info.sample_rate != frontend.sample_rate:
            raise ValueError(
                f"The shards in {self.folder} hold {self.info.sample_rate} samples a second and {type(frontend).__name__} reads "
                f"{frontend.sample_rate}; make them again with --sample_rate {frontend.sample_rate}."
            )

    def shard_of(self, index: int) -> Path:
        """Return the file that holds a clip."""
        return self.folder / self._files[bisect_right(self._ends, index)]

    def __len__(self) -> int:
        return len(self.info.ids)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_dataset": None}

    def record(self, index: int) -> Record:
        """Return the packed record of a clip.

        Raises:
            IndexError: beyond the end.
            ValueError: if the shard cannot be read; the message names the file.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"Clip {index} of {len(self)}.")
        file = self.shard_of(index)
        try:
            if not file.stat().st_size:
                raise ValueError("it is empty")
            record = self._open()[index]
            if record["id"] != self.info.ids[index]:
                raise ValueError(f"it holds {record['id']!r} where {self.info.ids[index]!r} should be")
        except Exception as error:
            reason = str(error).split(". ")[0]
            raise ValueError(
                f"The shard {file} cannot be read ({reason}); make the split again with `avcap data prepare --overwrite`."
            ) from error
        return record

    def meta(self, index: int) -> Meta:
        """Return a clip's metadata: captions, duration, which streams it has.

        Raises:
            ValueError: if the shard cannot be read; the message names the file.
        """
        return json.loads(self.record(index)["meta"])

    def captions(self, indices: Iterable[int]) -> list[list[str]]:
        """Return the captions of clips without reading media; shards that lack a caption file are read whole.

        Raises:
            ValueError: if the file of captions is damaged or of other clips, or a shard cannot be read.
        """
        file = self.folder / CAPTIONS
        if not file.is_file():
            return [self.meta(index)["captions"] for index in indices]
        rows = [row for _, row in read_json_lines(file)]
        if [row.get("id") for row in rows] != self.ids or not all("captions" in row for row in rows):
            raise ValueError(f"{file} is damaged or of other clips; make the shards again with --overwrite.")
        return [rows[index]["captions"] for index in indices]

    def item(
        self,
        index: int,
        *,
        frames: int | None = None,
        choose: Choose = even_indices,
        streams: tuple[str, ...] = BLOBS,
    ) -> Item:
        """Return a decoded clip; see :func:`avcap.data.item.unpack`.

        Raises:
            ValueError: if the shard cannot be read; the message names the file.
        """
        record = self.record(index)
        try:
            return unpack(record, frames=frames, choose=choose, streams=streams)
        except (ValueError, KeyError, OSError) as error:
            raise ValueError(f"The clip {self.ids[index]} in the shard {self.shard_of(index)} is damaged.") from error

    def check(self, index: int) -> None:
        """Read a clip and compare its checksum.

        Raises:
            ValueError: if the shard cannot be read or its content has changed; the message names the file.
        """
        record = self.record(index)
        try:
            expected = json.loads(record["meta"])["crc32"]
        except (ValueError, KeyError):
            expected = None
        if checksum(record) != expected:
            raise ValueError(f"The shard {self.shard_of(index)} is damaged at the clip {self.ids[index]}.")

    def _open(self) -> Sequence[Record]:
        if self._dataset is None or self._owner != os.getpid():  # a forked worker must not share file positions
            from litdata import StreamingDataset

            self._dataset, self._owner = StreamingDataset(str(self.folder), shuffle=False), os.getpid()
        return self._dataset
