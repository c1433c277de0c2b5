"""The frames of a video track that are on screen at some times, decoding as few others as possible."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from avcap.media.clock import packets, seek
from avcap.media.display import Display
from avcap.media.files import NoVideo, opened
from avcap.media.tracks import Tracks, choose_tracks

if TYPE_CHECKING:
    import av
    import numpy as np
    from av import Packet, VideoStream
    from av.container import InputContainer

DAMAGED = "Damaged parts of the video are left out."
ORDINAL = frozenset({"avi"})  # its packets tell their order only, not when a frame is shown


class Stamp(NamedTuple):
    """What a packet says of its frame: when it is shown and decoded and for how long, in ticks."""

    pts: int | None
    dts: int | None
    length: int
    key: bool
    hidden: bool  # decoded, never shown


class Film:
    """The time stamps of a video track, and from them the frames at some times.

    Args:
        path: The file.
        tracks: What is read of it.
        container: The same file, open.
        sought: Where reading began, in seconds; None: at the beginning.
    """

    def __init__(self, path: Path, tracks: Tracks, container: InputContainer, sought: float | None) -> None:
        stream = tracks.video
        if stream is None:
            raise NoVideo(f"{path} has no video track.")
        self.path, self.sought, self.beside_sound = path, sought, tracks.audio is not None
        self.notes: dict[str, None] = {}
        self.base = float(stream.time_base or 1)  # seconds of a tick
        self.nominal = 1 / (float(stream.guessed_rate or stream.average_rate or 25) * self.base)  # ticks of a frame
        self.ordinal = container.format.name in ORDINAL  # frame k is shown at the k-th stamp
        self.packets: list[Stamp] = []  # in the order of decoding
        self.stamps: list[int | None] = []  # when the frame of each packet is shown
        self.shown: list[int] = []  # the stamps that are shown, in order

    def add(self, packet: Packet) -> None:
        """Append a packet."""
        self.packets.append(Stamp(packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe, packet.is_discard))

    def finish(self) -> None:
        """Make the table of stamps, when all packets are there."""
        pts, dts = [p.pts for p in self.packets], [p.dts for p in self.packets]
        self.ordinal = self.ordinal or (None in pts and None not in dts) or not any(p is not None for p in pts)
        if not self.ordinal:
            self.stamps = pts
        elif None not in dts:
            self.stamps = dts
        else:
            self.stamps = [round(k * self.nominal) for k in range(len(self.packets))]
        first = next((s for s, p in zip(self.stamps, self.packets, strict=True) if p.key), None)
        shown = [s for s, p in zip(self.stamps, self.packets, strict=True) if s is not None and not p.hidden]
        after = [s for s in shown if first is None or s >= first]  # none before the first key frame
        self.shown = sorted(after or shown)

    def span(self) -> tuple[float, float] | None:
        """Return when its first frame appears and its last one goes, in seconds of the container's clock."""
        if not self.shown:
            return None
        known = [stamp for stamp in self.stamps if stamp is not None]
        length = self.packets[self.stamps.index(self.shown[-1])].length or self.nominal
        if known != sorted(known):  # lengths are told in the order of decoding, and may be another frame's
            length = min(length, self.nominal)
        return self.shown[0] * self.base, (self.shown[-1] + length) * self.base

    def squares(self, times: Sequence[float], size: int) -> list[np.ndarray]:
        """Return the frames on screen at some times of the container's clock, before and after the film the nearest one.

        Returns:
            Squares ``[size, size, 3]`` uint8 RGB, one a time.

        Raises:
            NoVideo: if not one frame can be decoded.
        """
        shown = self.shown
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
            begin = next(
                (k for k in range(index, -1, -1) if self.packets[k].key and (self.stamps[k] or 0) <= (stamp or 0)), 0
            )
            if ranges and begin <= ranges[-1][1] + 1:
                ranges[-1] = (min(begin, ranges[-1][0]), index)
            else:
                ranges.append((begin, index))
        return ranges

    def _all(self, targets: Sequence[int], size: int) -> dict[int, np.ndarray]:
        """Decode frame after frame, for files whose stamps or data are damaged: the one on screen at each target."""
        pending, shown = sorted(set(targets)), self.shown
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
