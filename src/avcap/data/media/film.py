"""The frames of a video track that are on screen at some times, decoding as few others as possible."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avcap.data.media.clock import packets, seek
from avcap.data.media.display import Display
from avcap.data.media.files import NoVideo, opened
from avcap.data.media.tracks import Tracks, choose_tracks

if TYPE_CHECKING:
    import av
    from av import Packet, VideoStream
    from av.container import InputContainer

DAMAGED = "Damaged parts of the video are left out."
ORDINAL = frozenset({"avi"})  # its packets tell their order only, not when a frame is shown


@dataclass
class Film:
    """The time stamps of a video track, of each packet in the order of decoding.

    Attributes:
        path: The file.
        base: Seconds of a tick.
        nominal: Ticks between frames at the nominal rate.
        sought: Where reading began, in seconds; None: at the beginning.
        beside_sound: Whether an audio track is read with it.
        ordinal: Frames have no times of their own: frame k is shown at the k-th stamp.
    """

    path: Path
    base: float
    nominal: float
    ordinal: bool
    beside_sound: bool
    sought: float | None = None
    stamps: list[int | None] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    keys: list[bool] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, tracks: Tracks, container: InputContainer, sought: float | None) -> Film:
        """Begin the table of the video track of a file."""
        stream = tracks.video
        if stream is None:
            raise NoVideo(f"{path} has no video track.")
        base = float(stream.time_base or 1)
        rate = stream.average_rate or stream.guessed_rate or 25
        return cls(
            path, base, 1 / (float(rate) * base), container.format.name in ORDINAL, tracks.audio is not None, sought
        )

    def add(self, packet: Packet) -> None:
        """Append a packet."""
        stamp = packet.dts if self.ordinal else packet.pts
        if stamp is None and not self.ordinal:
            self.ordinal = not any(known is not None for known in self.stamps)
        self.stamps.append(None if packet.is_discard else self._guess() if stamp is None else stamp)
        self.lengths.append(packet.duration or round(self.nominal))
        self.keys.append(packet.is_keyframe)

    def _guess(self) -> int:
        known = [stamp for stamp in self.stamps[-1:] if stamp is not None]
        return round(known[-1] + self.nominal) if known else 0

    def shown(self) -> list[int]:
        """Return the stamps of the frames that are shown, in order: none before the first key frame."""
        first = next((s for s, key in zip(self.stamps, self.keys, strict=True) if key and s is not None), None)
        known = sorted(stamp for stamp in self.stamps if stamp is not None)
        return [stamp for stamp in known if first is None or stamp >= first] or known

    def span(self) -> tuple[float, float] | None:
        """Return when its first frame appears and its last one goes, in seconds of the container's clock."""
        shown = self.shown()
        if not shown:
            return None
        end = max(s + n for s, n in zip(self.stamps, self.lengths, strict=True) if s is not None)
        return shown[0] * self.base, end * self.base

    def squares(self, times: Sequence[float], size: int) -> list[np.ndarray]:
        """Return the frames on screen at some times of the container's clock, before and after the film the nearest one.

        Returns:
            Squares ``[size, size, 3]`` uint8 RGB, one a time.

        Raises:
            NoVideo: if not one frame can be decoded.
        """
        shown = self.shown()
        targets = [shown[max(0, bisect_right(shown, time / self.base + 1e-6) - 1)] for time in times]
        found = {} if self.ordinal else self._planned(set(targets), size)
        if set(targets) - found.keys():
            found = self._all(targets, size)
        return [found[target] for target in targets]

    def _planned(self, targets: set[int], size: int) -> dict[int, np.ndarray]:
        """Decode the targets and the frames that they refer to; a frame that is not found is missing."""
        wanted = {index for index, stamp in enumerate(self.stamps) if stamp in targets}
        ranges = self._ranges(sorted(wanted))
        found: dict[int, np.ndarray] = {}

        def take(frames: list[av.VideoFrame]) -> None:
            found.update((f.pts, display.square(f)) for f in frames if f.pts in targets and f.pts not in found)

        with self._opened() as (stream, source):
            display = Display(size, stream.sample_aspect_ratio)
            for index, packet in enumerate(source):
                if not ranges:
                    break
                begin, end = ranges[0]
                if index < begin:
                    continue
                stream.codec_context.skip_frame = "DEFAULT" if index in wanted else "NONREF"
                take(self._decode(stream, packet))
                if index == end:
                    ranges.pop(0)
                    take(self._decode(stream, None))
                    stream.codec_context.flush_buffers()
        self.notes.update(display.notes)
        return found

    def _ranges(self, wanted: list[int]) -> list[tuple[int, int]]:
        """Return the packets to decode for the wanted ones: from the key frame before, first and last index each."""
        ranges: list[tuple[int, int]] = []
        for index in wanted:
            stamp = self.stamps[index]
            begin = next((k for k in range(index, -1, -1) if self.keys[k] and (self.stamps[k] or 0) <= (stamp or 0)), 0)
            if ranges and begin <= ranges[-1][1] + 1:
                ranges[-1] = (min(begin, ranges[-1][0]), index)
            else:
                ranges.append((begin, index))
        return ranges

    def _all(self, targets: Sequence[int], size: int) -> dict[int, np.ndarray]:
        """Decode frame after frame, for files whose stamps or data are damaged: the one on screen at each target."""
        pending, shown = sorted(set(targets)), self.shown()
        found: dict[int, np.ndarray] = {}
        last: av.VideoFrame | None = None
        with self._opened() as (stream, source):
            display = Display(size, stream.sample_aspect_ratio)
            for count, frame in enumerate(f for p in (*source, None) for f in self._decode(stream, p)):
                stamp = shown[min(count, len(shown) - 1)] if self.ordinal else frame.pts
                while last is not None and pending and stamp is not None and stamp > pending[0]:
                    found[pending.pop(0)] = display.square(last)
                if not pending:
                    break
                last = frame
            if last is None:
                raise NoVideo(f"{self.path} has a video track without a single frame that can be decoded.")
            found.update((target, display.square(last)) for target in pending)
        self.notes.update(display.notes)
        return found

    @contextmanager
    def _opened(self) -> Iterator[tuple[VideoStream, Iterator[Packet]]]:
        with opened(self.path) as container:
            tracks = choose_tracks(container, audio=self.beside_sound)
            stream = tracks.video
            if stream is None:
                raise NoVideo(f"{self.path} has no video track.")
            stream.codec_context.thread_count = 1  # clips are decoded in parallel, not frames
            if self.sought is not None:
                seek(container, self.sought)
            yield stream, self._packets(container, tracks)

    def _packets(self, container: InputContainer, tracks: Tracks) -> Iterator[Packet]:
        import av

        try:
            yield from (p for p in packets(container, tracks.chosen) if p.stream is tracks.video and p.size)
        except (av.FFmpegError, IndexError):
            self.notes[DAMAGED] = None

    def _decode(self, stream: VideoStream, packet: Packet | None) -> list[av.VideoFrame]:
        import av

        try:
            return stream.codec_context.decode(packet)
        except av.FFmpegError:
            self.notes[DAMAGED] = None
            return []
