"""One pass over a sound or video file: its sound, and when its frames are shown."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from avcap.media.clock import PREROLL, SEEK_FROM, Splices, packets, seconds_of, seek
from avcap.media.files import MediaError, NoAudio, NoVideo, opened, reason
from avcap.media.film import Film
from avcap.media.sound import MOST_SILENCE, Recording, cut
from avcap.media.tracks import choose_tracks

if TYPE_CHECKING:
    from fractions import Fraction

    import numpy as np
    from av import Packet
    from av.audio.codeccontext import AudioCodecContext
    from torch import Tensor

log = logging.getLogger(__name__)

MARGIN = 1.0  # seconds that decoding may need beyond the end
INTERLEAVE = 600.0  # seconds that one track may lie behind the other in a file
WORTH_A_NOTE = 0.1  # seconds that the tracks may begin and end apart


class Scan:
    """The packets of a sound or video file, read once: all its sound, and the time stamps of its frames.

    Attributes:
        origin: When the first of its tracks is presented, in seconds of the file's clock.
        end: When the last one ends.
        audio_stream: Number of the audio track that is read; None without.
        video_stream: Number of the video track; None without.

    Args:
        path: The file.
        sample_rate: Samples a second of the sound.
        begin: Where the clip begins, in seconds after the beginning of the file.
        seconds: How long it is at most; None: to the end.
        audio: Whether its sound is wanted.
        video: Whether its frames are wanted.
    """

    def __init__(
        self, path: Path, sample_rate: int, begin: float, seconds: float | None, *, audio: bool, video: bool
    ) -> None:
        self.path, self.audio, self.video = path, audio, video
        self.rate = sample_rate
        self.sought: float | None = None
        self.film: Film | None = None
        self.recording = Recording(path, sample_rate, -math.inf)
        until = math.inf if seconds is None else begin + seconds
        self._read(begin, until, may_seek=begin > SEEK_FROM)
        if self.sought is not None and max((b for b, _ in self._spans().values()), default=math.inf) > self.sought:
            self._read(begin, until, may_seek=False)  # a track has nothing before the place, or the seek went too far
        spans = self._spans().values()
        if self.sought is None:
            self.origin = min((begin for begin, _ in spans), default=0.0)
        self.end = max((end for _, end in spans), default=0.0)

    @property
    def seconds(self) -> float:
        """How long it is presented, from its beginning."""
        return max(0.0, self.end - self.origin)

    def starts(self) -> dict[str, float]:
        """Return when each track begins, in seconds after the first one."""
        return {kind: begin - self.origin for kind, (begin, _) in self._spans().items()}

    def waveform(self, begin: float, seconds: float) -> Tensor:
        """Return the sound ``[samples]`` of a part of the file."""
        if self.audio_stream is None:
            raise NoAudio(f"{self.path} has no audio track.")
        if self.recording.first is None or not len(self.wave):
            if self.reason:
                raise MediaError(f"The sound of {self.path} cannot be decoded ({self.reason}).")
            raise NoAudio(f"{self.path} has an audio track without a single sample.")
        skip = self.origin + begin - self.recording.first
        if seconds - len(self.wave) / self.rate > MOST_SILENCE:
            raise MediaError(
                f"{self.path} claims to last {seconds:.0f} s, far longer than its sound; make the file anew."
            )
        return torch.from_numpy(cut(self.wave, skip, round(seconds * self.rate), self.rate))

    def squares(self, times: Sequence[float], size: int) -> list[np.ndarray]:
        """Return the frames on screen at some times after the beginning of the file."""
        if self.film is None:
            raise NoVideo(f"{self.path} has no video track.")
        if not self.film.shown:
            raise NoVideo(f"{self.path} has a video track without a single frame.")
        return self.film.squares([self.origin + time for time in times], size)

    def notes(self) -> list[str]:
        """Return what is worth knowing."""
        found = [*self._notes, *self.recording.notes, *(self.film.notes if self.film is not None else ())]
        spans = self._spans()
        if len(spans) == 2 and self.sought is None:
            (sound_from, sound_to), (video_from, video_to) = spans["audio"], spans["video"]
            after = (
                {}
                if self.cut_short
                else {
                    "The sound ends {:.3f} s before the video; silence after.": video_to - sound_to,
                    "The video ends {:.3f} s before the sound; its last frame after.": sound_to - video_to,
                }
            )
            apart = {
                "The sound begins {:.3f} s after the video; silence before.": sound_from - video_from,
                "The video begins {:.3f} s after the sound; its first frame before.": video_from - sound_from,
                **after,
            }
            found += [text.format(gap) for text, gap in apart.items() if gap > WORTH_A_NOTE]
        return found

    def _spans(self) -> dict[str, tuple[float, float]]:
        """Return when each track begins and ends, in seconds of the file's clock."""
        film = None if self.film is None else self.film.span()
        sound = self.recording
        found = {} if sound.begun is None else {"audio": (sound.begun, sound.end)}
        return found if film is None else {**found, "video": film}

    def _read(self, begin: float, until: float, *, may_seek: bool) -> None:
        import av

        self.reason, self.cut_short, splices = "", False, Splices()
        with opened(self.path) as container:
            tracks = choose_tracks(container, audio=self.audio, video=self.video)
            self._notes = dict.fromkeys(tracks.notes)
            self.audio_stream = None if tracks.audio is None else tracks.audio.index
            self.video_stream = None if tracks.video is None else tracks.video.index
            starts = [seconds_of(track.start_time, track) for track in tracks.chosen]
            self.origin = min((start for start in starts if start is not None), default=0.0)
            place = self.origin + begin
            self.sought = place if may_seek and seek(container, place) else None
            keep_from = place - PREROLL if begin > SEEK_FROM else -math.inf
            self.recording = Recording(self.path, self.rate, keep_from)
            self.film = None if tracks.video is None else Film(self.path, tracks, container, self.sought)
            first, done = self.origin if self.sought is not None else math.inf, set()
            bases = {track.index: track.time_base for track in tracks.chosen}  # PyAV makes a new fraction at each look
            try:
                for packet in packets(container, tracks.chosen, splices):
                    base = bases.get(packet.stream_index)  # the packet that ends a stream has no number
                    if tracks.audio is not None and packet.stream is tracks.audio:
                        self._hear(tracks.audio.codec_context, packet, base)
                    elif self.film is not None and packet.size:
                        self.film.add(packet)
                    ticks = packet.pts if packet.dts is None else packet.dts
                    if ticks is None or base is None:
                        continue
                    stamp = ticks * base.numerator / base.denominator
                    first = min(first, stamp)
                    over = stamp - first - until
                    if over > MARGIN:
                        done.add(packet.stream_index)
                        self.cut_short = len(done) == len(tracks.chosen) or over > INTERLEAVE
                        if self.cut_short:
                            break
            except (av.FFmpegError, IndexError) as error:  # PyAV raises IndexError where a track's number is damaged
                self._damaged(reason(error))
            self.wave = self.recording.finish()
            if self.film is not None:
                self.film.finish()
        if splices.count:
            self._notes["Its time stamps jump; what follows is joined on."] = None

    def _hear(self, context: AudioCodecContext, packet: Packet, base: Fraction | None) -> None:
        import av

        tick = float(packet.time_base if base is None else base)
        try:
            for frame in context.decode(packet):
                self.recording.add(frame, None if frame.pts is None else frame.pts * tick)
        except av.FFmpegError as error:
            self._damaged(reason(error))

    def _damaged(self, why: str) -> None:
        if not self.reason:
            log.warning("Damaged parts of %s are left out (%s).", self.path, why)
            self.reason = why
            self._notes[f"Damaged parts are left out ({why})."] = None
