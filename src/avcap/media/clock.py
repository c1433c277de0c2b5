"""The packets of a file on one clock, whatever its container did with the time stamps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import AudioStream, Packet, VideoStream
    from av.container import InputContainer

NO_TIMESTAMPS, TS_DISCONT = 128, 512  # FFmpeg's flags of a format
JUMP = 10.0  # seconds: a longer step forwards in a stream that may be spliced is a splice, as in FFmpeg's own tools
BACK = 0.1  # seconds that a stream may step back before it counts as spliced
SEEK_FROM = 20.0  # seconds: less is decoded sooner than sought
PREROLL = 1.0  # seconds that an audio decoder needs to find its feet


@dataclass
class Splices:
    """Mends the time stamps of streams that were joined: what follows a jump goes on where the packet before it ended.

    Streams jump one after the other; the second takes the first one's shift, so that they stay together.
    """

    shifts: dict[int, float] = field(default_factory=dict)
    ends: dict[int, float] = field(default_factory=dict)
    latest: float = 0.0
    count: int = 0

    def mend(self, packet: Packet) -> None:
        """Shift the stamps of a packet, in place."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None or packet.time_base is None:
            return
        index, base = packet.stream_index, float(packet.time_base)
        time, shift, end = stamp * base, self.shifts.get(index, 0.0), self.ends.get(index)
        if end is not None and (time + shift < end - BACK or time + shift > max(self.ends.values()) + JUMP):
            if not -BACK < time + self.latest - end < 1.0:
                self.latest = end - time
                self.count += 1
            shift = self.shifts[index] = self.latest
        elif end is None:
            shift = self.shifts[index] = self.latest
        self.ends[index] = time + shift + float((packet.duration or 0) * base)
        if shift:
            ticks = round(shift / base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks


def may_be_spliced(container: InputContainer) -> bool:
    """Say whether time stamps of this format may jump where recordings were joined (MPEG-TS, MPEG-PS, Ogg)."""
    return bool(container.format.flags & TS_DISCONT)


def packets(
    container: InputContainer, streams: list[AudioStream | VideoStream], splices: Splices | None = None
) -> Iterator[Packet]:
    """Yield the packets of some streams in the order of the file, spliced ones mended; one without data ends each stream."""
    splices = Splices() if splices is None else splices
    spliced = may_be_spliced(container)
    for packet in container.demux(streams) if streams else ():
        if spliced:
            splices.mend(packet)
        yield packet


def seek(container: InputContainer, time: float) -> bool:
    """Go back to a key frame at or before a time of the container's clock, in seconds; False where that cannot be done."""
    import av

    if may_be_spliced(container) or container.format.flags & NO_TIMESTAMPS:
        return False
    try:
        container.seek(int((time - PREROLL) * 1e6))
    except (av.FFmpegError, OSError):
        return False
    return True


def seconds_of(stamp: int | None, stream: AudioStream | VideoStream) -> float | None:
    """Return a time stamp of a stream in seconds."""
    return None if stamp is None or stream.time_base is None else float(stamp * stream.time_base)
