"""One decoded clip, packed into the flat record that a shard holds, and unpacked again."""

from __future__ import annotations

import hashlib
import io
import json
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np
import torch
from PIL import Image

from avcap.frontends.base import SAMPLE_RATE
from avcap.frontends.inputs import AUDIO, FEATURES, FRAMES
from avcap.media import even_indices

if TYPE_CHECKING:
    from torch import Tensor

Choose = Callable[[int, int], Sequence[int]]  # (stored frames, frames to take) -> their indices
BLOBS: tuple[Literal["waveform", "frames", "visual_features"], ...] = ("waveform", "frames", "visual_features")
FLAC_MD5 = slice(26, 42)  # of the samples, in the header; zeros: none
PEAK = 32_768  # of a 16-bit sample
RAW_BELOW = 96  # frames smaller than this are stored as they are: decoding JPEGs would take longer than reading them


class Blobs(TypedDict):
    """The streams of a clip as bytes, empty where the clip lacks one."""

    waveform: bytes  # FLAC
    frames: bytes  # JPEGs one after another, or the pictures as they are
    visual_features: bytes


class Record(Blobs):
    """A clip as a shard holds it."""

    id: str
    meta: str  # JSON of :class:`Meta`


class Meta(TypedDict):
    """What a record says of its clip besides the streams."""

    captions: list[str]
    duration: float | None  # seconds, None where unknown
    video_seconds: float | None
    has_audio: bool
    has_video: bool
    dtype: str  # of the visual features
    sample_rate: int
    visual_features: list[int] | None  # their shape
    raw: list[int] | None  # shape of pictures that are stored as they are
    pictures: list[int]  # bytes of each JPEG
    crc32: int


@dataclass
class Item:
    """A decoded clip; a stream that it lacks is None.

    Attributes:
        id: The clip's id.
        captions: All its captions.
        duration: Seconds; NaN where unknown.
        video_seconds: Seconds over which the frames are spread (the sound may be longer); NaN if this is the duration.
        waveform: ``[samples]`` float32, with the precision of 16 bits, in which it is stored.
        sample_rate: Its samples a second.
        frames: Frames ``[N, 3, H, W]`` uint8 RGB.
        frames_time: When they were taken, in seconds ``[N]`` float32, NaN where unknown; None without frames.
        visual_features: ``[N, C]`` float32.
        audio: Raw features of the waveform, where a front end made them before.
    """

    id: str
    captions: list[str] = field(default_factory=list)
    duration: float = math.nan
    video_seconds: float = math.nan
    waveform: Tensor | None = None
    sample_rate: int = SAMPLE_RATE
    frames: Tensor | None = None
    visual_features: Tensor | None = None
    audio: Tensor | None = None
    frames_time: Tensor | None = None

    @property
    def streams(self) -> list[str]:
        """Keys of a batch that it can give."""
        given = {AUDIO: self.waveform, FRAMES: self.frames, FEATURES: self.visual_features}
        return [key for key, stream in given.items() if stream is not None]

    def picture_times(self, total: int, chosen: Sequence[int] | None = None) -> Tensor:
        """Return the times of the clip's ``total`` frames (or features), or of the ``chosen`` ones; see :func:`picture_times`."""
        return picture_times(total, self.duration if math.isnan(self.video_seconds) else self.video_seconds, chosen)

    def take_frames(self, choose: Choose, count: int) -> None:
        """Keep ``count`` of the frames, those of ``choose``; nothing where there are none."""
        if self.frames is not None:
            chosen = list(choose(len(self.frames), count))
            self.frames = self.frames[chosen]
            self.frames_time = None if self.frames_time is None else self.frames_time[chosen]


def pack(item: Item, *, half: bool = True, quality: int = 95) -> Record:
    """Return the flat record of an item: ``id``, ``meta`` (JSON) and one blob per stream, empty where the stream is absent.

    Args:
        item: The clip.
        half: Store the visual features in float16, else in float32.
        quality: JPEG quality (no chroma subsampling) of frames of 96 pixels and more; smaller ones are not compressed.
    """
    dtype = np.float16 if half else np.float32
    small = item.frames is not None and min(item.frames.shape[-2:]) < RAW_BELOW
    raw = item.frames if small else None
    pictures = [] if item.frames is None or small else _jpegs(item.frames, quality)
    blobs: Blobs = {
        "waveform": b"" if item.waveform is None else _flac(item.waveform, item.sample_rate),
        "frames": b"".join(pictures) if raw is None else raw.numpy().tobytes(),
        "visual_features": b""
        if item.visual_features is None
        else item.visual_features.numpy().astype(dtype).tobytes(),
    }
    meta: Meta = {
        "captions": item.captions,
        "duration": _rounded(item.duration),
        "video_seconds": _rounded(item.video_seconds),
        "has_audio": item.waveform is not None,
        "has_video": item.frames is not None or item.visual_features is not None,
        "dtype": np.dtype(dtype).name,
        "sample_rate": item.sample_rate,
        "visual_features": None if item.visual_features is None else list(item.visual_features.shape),
        "raw": None if raw is None else list(raw.shape),
        "pictures": [len(p) for p in pictures],
        "crc32": checksum(blobs),
    }
    return {"id": item.id, "meta": json.dumps(meta, ensure_ascii=False), **blobs}


def unpack(
    record: Record, *, frames: int | None = None, choose: Choose = even_indices, streams: tuple[str, ...] = BLOBS
) -> Item:
    """Decode the item of a record.

    Args:
        record: What :func:`pack` made.
        frames: Number of stored frames to take; None takes all.
        choose: Which ones.
        streams: The blobs to decode.
    """
    meta: Meta = json.loads(record["meta"])
    seconds, shown = (math.nan if value is None else value for value in (meta["duration"], meta["video_seconds"]))
    item = Item(record["id"], meta["captions"], seconds, shown, sample_rate=meta["sample_rate"])
    if "visual_features" in streams and meta["visual_features"] is not None:
        features = torch.frombuffer(bytearray(record["visual_features"]), dtype=getattr(torch, meta["dtype"]))
        item.visual_features = features.float().reshape(meta["visual_features"])
    if "frames" in streams and (shape := meta.get("raw")):
        stored = np.frombuffer(record["frames"], dtype=np.uint8).reshape(shape)
        chosen = _chosen(len(stored), frames, choose)
        item.frames = torch.from_numpy(stored[chosen])
        item.frames_time = item.picture_times(len(stored), chosen)
    elif "frames" in streams and meta["pictures"]:
        lengths = meta["pictures"]
        chosen = _chosen(len(lengths), frames, choose)
        item.frames = _from_jpegs(record["frames"], lengths, chosen)
        item.frames_time = item.picture_times(len(lengths), chosen)
    if "waveform" in streams and len(record["waveform"]):
        item.waveform = _unflac(record["waveform"])
    return item


def checksum(record: Blobs) -> int:
    """Compute the CRC-32 over the blobs of a record."""
    value = 0
    for name in BLOBS:
        value = zlib.crc32(record[name], value)
    return value


def _rounded(seconds: float) -> float | None:
    return None if math.isnan(seconds) else round(seconds, 3)  # JSON knows no NaN


def picture_times(total: int, seconds: float, chosen: Sequence[int] | None = None) -> Tensor:
    """Return the times of frames that lie at the middles of ``total`` equal parts of a clip.

    Args:
        total: Frames of the whole clip.
        seconds: Length of the clip; NaN where unknown.
        chosen: Indices of those that are meant; None: all.

    Returns:
        Seconds ``[total]`` or ``[len(chosen)]`` float32, NaN where the length is.

    >>> picture_times(4, 8.0).tolist(), picture_times(4, 8.0, [2]).tolist()
    ([1.0, 3.0, 5.0, 7.0], [5.0])
    """
    places = torch.arange(total) if chosen is None else torch.tensor(chosen)
    return ((places.double() + 0.5) * (seconds / total)).float()


def _chosen(total: int, count: int | None, choose: Choose) -> list[int]:
    return list(range(total) if count is None else choose(total, count))


def _from_jpegs(blob: bytes, lengths: list[int], chosen: Sequence[int]) -> Tensor:
    """Decode the chosen JPEGs to ``[N, 3, H, W]`` uint8."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    view = memoryview(blob)
    decoded: dict[int, np.ndarray] = {}
    for i in chosen:
        if i not in decoded:
            with Image.open(io.BytesIO(view[starts[i] : starts[i + 1]])) as image:
                decoded[i] = np.asarray(image)
    return torch.from_numpy(np.stack([decoded[i] for i in chosen])).permute(0, 3, 1, 2)


def _jpegs(frames: Tensor, quality: int) -> list[bytes]:
    buffers = []
    for picture in frames.permute(0, 2, 3, 1).numpy():
        buffers.append(io.BytesIO())
        Image.fromarray(picture).save(buffers[-1], format="JPEG", quality=quality, subsampling=0)
    return [buffer.getvalue() for buffer in buffers]


def sixteen_bits(wave: Tensor) -> Tensor:
    """Round a waveform ``[S]`` in [-1, 1] to 16-bit integers, kept in float32; clip louder samples."""
    return (wave * PEAK).round().clamp(-PEAK, PEAK - 1)


def _flac(wave: Tensor, sample_rate: int) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    samples = sixteen_bits(wave).to(torch.int16).numpy()
    soundfile.write(buffer, samples, sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _unflac(blob: bytes) -> Tensor:
    """Decode a recording, and compare it with the MD5 in its header: a changed byte would else be a noise that nobody hears of."""
    import soundfile

    samples = soundfile.read(io.BytesIO(blob), dtype="int16")[0]
    expected = bytes(blob[FLAC_MD5])
    if any(expected) and hashlib.md5(samples.tobytes(), usedforsecurity=False).digest() != expected:
        raise ValueError("The recording has changed since it was written.")
    return torch.from_numpy(samples).float() / PEAK
