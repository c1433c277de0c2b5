"""Shards of one split: a litdata folder with random access, the facts about it in `info.json`, its captions by themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from avcap.atomic import ODD, write_atomically
from avcap.frontends import FrontEnd
from avcap.frontends.base import SAMPLE_RATE
from avcap.jsonl import read_json_lines
from avcap.media import even_indices
from avcap.shards.chunks import Chunks
from avcap.shards.item import BLOBS, Choose, Item, Meta, Record, checksum, unpack

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


class UnreadableClip(ValueError):
    """A clip whose record is damaged or gone; training replaces it.

    Args:
        clip: Its id.
        message: One sentence that names the clip and the file.
    """

    def __init__(self, clip: str, message: str) -> None:
        super().__init__(clip, message)
        self.clip = clip
        self.message = message

    def __str__(self) -> str:
        return self.message


class Shards:
    """Random access to the clips of one split, by any number of processes and threads.

    Args:
        folder: The folder of a split.
        locate: A file in it -> where it can be read; a store fetches it.

    Raises:
        FileNotFoundError: if there are no shards.
        ValueError: if the index does not match the list of ids.
    """

    def __init__(self, folder: Path, locate: Callable[[Path], Path] = Path) -> None:
        self.folder = Path(folder)
        self._locate = locate
        self.info = ShardInfo.load(self.folder)
        if not self.info.ids:
            raise ValueError(f"The split in {self.folder} holds no clip.")
        try:
            index = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))
            self._chunks = Chunks(index, self.locate)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.folder / INDEX} is missing or damaged; make the shards again.") from error
        if len(self._chunks) != len(self.info.ids):
            raise ValueError(f"{self.folder / INDEX} counts {len(self._chunks)} clips and {INFO} {len(self.info.ids)}.")

    @property
    def ids(self) -> list[str]:
        """Clip ids, in order."""
        return self.info.ids

    @property
    def shard_bytes(self) -> list[int]:
        """Bytes of each shard file."""
        return self._chunks.sizes

    def locate(self, name: str) -> Path:
        """Return where a file of the folder can be read."""
        return self._locate(self.folder / name)

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

    def shard_number(self, index: int) -> int:
        """Return the number of the file that holds a clip."""
        return self._chunks.chunk_of(index)

    def shard_of(self, index: int) -> Path:
        """Return the file that holds a clip."""
        return self.folder / self._chunks.files[self.shard_number(index)]

    def __len__(self) -> int:
        return len(self.info.ids)

    def record(self, index: int, blobs: Collection[str] = BLOBS) -> Record:
        """Return the packed record of a clip.

        Args:
            index: The clip's place.
            blobs: The streams that are read; the record lacks the others.

        Raises:
            IndexError: beyond the end.
            UnreadableClip: if the shard cannot be read; the message names clip and file.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"Clip {index} of {len(self)}.")
        clip, file = self.info.ids[index], self.shard_of(index)
        try:
            record = self._chunks.read(index, blobs)
            if record["id"] != clip:
                raise ValueError(f"it holds {record['id']!r} in its place")
        except ConnectionError:
            raise  # a store that cannot be reached is no fault of the clip
        except (ValueError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UnreadableClip(
                clip,
                f"The shard {file} cannot be read at the clip {clip} ({reason}); make the split again with `avcap data "
                "prepare --overwrite`.",
            ) from error
        return record

    def meta(self, index: int) -> Meta:
        """Return a clip's metadata: captions, duration, which streams it has.

        Raises:
            UnreadableClip: if the shard cannot be read; the message names clip and file.
        """
        record = self.record(index, ())
        try:
            return json.loads(record["meta"])
        except ValueError as error:
            raise self._damaged(index) from error

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
        self, index: int, *, frames: int | None = None, choose: Choose = even_indices, streams: tuple[str, ...] = BLOBS
    ) -> Item:
        """Return a decoded clip; see :func:`avcap.shards.item.unpack`. Its checksum is compared where the whole record is read.

        Raises:
            UnreadableClip: if the clip cannot be read; the message names clip and file.
        """
        record = self.record(index, streams)
        try:
            if all(name in record for name in BLOBS) and checksum(record) != json.loads(record["meta"])["crc32"]:
                raise ValueError("other checksum")
            return unpack(record, frames=frames, choose=choose, streams=streams)
        except (ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
            raise self._damaged(index) from error

    def check(self, index: int) -> None:
        """Read a clip and compare its checksum.

        Raises:
            UnreadableClip: if the shard cannot be read or its content has changed; the message names clip and file.
        """
        record = self.record(index)
        try:
            expected = json.loads(record["meta"])["crc32"]
        except (ValueError, KeyError):
            expected = None
        if checksum(record) != expected:
            raise self._damaged(index)

    def _damaged(self, index: int) -> UnreadableClip:
        clip = self.ids[index]
        return UnreadableClip(clip, f"The shard {self.shard_of(index)} is damaged at the clip {clip}.")
