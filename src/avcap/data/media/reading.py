"""What a clip lets one hear and see, of whatever files it is made of."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from avcap.data.media.clock import PREROLL, SEEK_FROM, Splices, packets, seconds_of, seek
from avcap.data.media.files import MediaError, NoAudio, NoVideo, opened, opened_image, reason, streams_of
from avcap.data.media.film import Film
from avcap.data.media.sound import MOST_SILENCE, Recording, cut
from avcap.data.media.stills import Animation, read_image
from avcap.data.media.tracks import choose_tracks

if TYPE_CHECKING:
    from av import Packet
    from av.audio.codeccontext import AudioCodecContext

log = logging.getLogger(__name__)

MARGIN = 1.0  # seconds that decoding may need beyond the end
INTERLEAVE = 600.0  # seconds that one track may lie behind the other in a file
WORTH_A_NOTE = 0.1  # seconds that the tracks may begin and end apart
LEFT_OUT = 0.1  # seconds: what an encoder may add to the end of a file is not worth a note


@dataclass
class Media:
    """What a clip lets one hear and see. Its time begins with what is presented first, or at ``start``.

    Attributes:
        seconds: How long it lasts: to the end of the longer track; NaN for images without sound.
        waveform: ``[samples]`` float32 mono over all of ``seconds``, with silence where the track has nothing; None without sound.
        frames: ``[N, 3, size, size]`` uint8 RGB, on screen at ``frame_times``; None where there are none or none was asked for.
        frame_times: The middles of N equal parts of the clip, in seconds; NaN where ``seconds`` is.
        audio_stream: Number of the audio track in its file; None without.
        video_stream: Number of the video track in its file; None without.
        starts: When each track begins, in seconds after the first one of its file.
        absent: Why there is no sound, or are no frames.
        notes: What is worth knowing of the files.
        more: Whether the files go on after the clip.
    """

    seconds: float
    waveform: Tensor | None = None
    frames: Tensor | None = None
    frame_times: list[float] = field(default_factory=list)
    audio_stream: int | None = None
    video_stream: int | None = None
    starts: dict[str, float] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    more: bool = False


def read_media(
    audio: Path | None,
    visual: Sequence[Path] = (),
    *,
    frames: int,
    size: int,
    sample_rate: int = 16_000,
    start: float | None = None,
    seconds: float | None = None,
) -> Media:
    """Read what a clip lets one hear and see.

    Sound and frames of one file are on its clock. Two files both begin with what they present first. N images are spread evenly
    over the clip.

    Args:
        audio: The file of the sound.
        visual: One video (perhaps the same file), one image, or the images of the clip in order.
        frames: Number of frames N; 0 reads none.
        size: Their height and width in pixels.
        sample_rate: Samples a second of the sound.
        start: The clip begins so many seconds after the beginning of the files; None: at it.
        seconds: The clip is at most so long; None: to the end.

    Raises:
        FileNotFoundError: if a file is not there.
        MediaError: if a file cannot be read, or ends before ``start``.
    """
    if size < 1 or frames < 0 or (start or 0) < 0 or (seconds is not None and not seconds > 0):
        raise ValueError(
            f"size and seconds must be positive, start and frames not negative, got {size}, {seconds}, {start}, {frames}."
        )
    begin = start or 0.0
    window = (sample_rate, begin, seconds)
    same = audio is not None and list(visual) == [audio]
    heard = None if audio is None else _Scan(audio, *window, audio=True, video=same)
    seen: _Scan | _Images | Animation | None = heard
    if not same:
        seen = _open_visual(visual, *window) if visual else None
    sources = [source for source in (heard, None if same else seen) if source is not None]
    media = Media(math.nan)
    ends = [source.seconds for source in sources if not math.isnan(source.seconds)]
    if ends:
        if begin and begin >= max(ends):
            names = " and ".join(str(source.path) for source in sources)
            raise MediaError(f"The clip begins at {begin:g} s, but {names} ends at {max(ends):.3f} s.")
        media.seconds = min(max(ends) - begin, math.inf if seconds is None else seconds)
        media.more = max(ends) - begin > media.seconds + LEFT_OUT
    if heard is not None:
        try:
            media.waveform = heard.waveform(begin, media.seconds)
            media.audio_stream = heard.audio_stream
        except NoAudio as error:
            media.absent.append(str(error))
    if seen is not None and frames:
        times = [(k + 0.5) * media.seconds / frames for k in range(frames)]
        try:
            found = seen.squares([begin + time for time in times], size)
        except NoVideo as error:
            media.absent.append(str(error))
        else:
            media.frames = torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous()
            media.frame_times, media.video_stream = times, seen.video_stream
    for source in sources:
        media.starts |= source.starts()
        media.notes += [note for note in source.notes() if note not in media.notes]
    return media


def even_indices(total: int, count: int) -> list[int]:
    """Return ``count`` indices into ``total`` items, each in the middle of one of ``count`` equal parts.

    >>> even_indices(20, 4), even_indices(1, 3)
    ([2, 7, 12, 17], [0, 0, 0])
    """
    return [min(total - 1, int((k + 0.5) * total / count)) for k in range(count)]


def _open_visual(
    paths: Sequence[Path], sample_rate: int, begin: float, seconds: float | None
) -> _Scan | _Images | Animation:
    if len(paths) > 1 or "image" in streams_of(paths[0]):
        return _Images(paths)
    with opened_image(paths[0]) as image:
        moves = image is not None
    return Animation(paths[0]) if moves else _Scan(paths[0], sample_rate, begin, seconds, audio=False, video=True)


class _Scan:
    """The packets of a sound or video file, read once: all its sound, and the time stamps of its frames.

    Attributes:
        origin: When the first of its tracks is presented, in seconds of the file's clock.
        end: When the last one ends.
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
            try:
                for packet in packets(container, tracks.chosen, splices):
                    if tracks.audio is not None and packet.stream is tracks.audio:
                        self._hear(tracks.audio.codec_context, packet)
                    elif self.film is not None and packet.size:
                        self.film.add(packet)
                    stamp = seconds_of(packet.pts if packet.dts is None else packet.dts, packet.stream)
                    if stamp is None:
                        continue
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

    def _hear(self, context: AudioCodecContext, packet: Packet) -> None:
        import av

        base = float(packet.time_base)
        try:
            for frame in context.decode(packet):
                self.recording.add(frame, None if frame.pts is None else frame.pts * base)
        except av.FFmpegError as error:
            self._damaged(reason(error))

    def _damaged(self, why: str) -> None:
        if not self.reason:
            log.warning("Damaged parts of %s are left out (%s).", self.path, why)
            self.reason = why
            self._notes[f"Damaged parts are left out ({why})."] = None


class _Images:
    """Images in order, spread evenly over the clip."""

    seconds, video_stream = math.nan, 0

    def __init__(self, paths: Sequence[Path]) -> None:
        self.path, self.paths = paths[0], paths

    def starts(self) -> dict[str, float]:
        return {}

    def notes(self) -> list[str]:
        return []

    def squares(self, times: Sequence[float], size: int) -> list[np.ndarray]:
        chosen = even_indices(len(self.paths), len(times))
        read = {index: read_image(self.paths[index], size) for index in sorted(set(chosen))}
        return [read[index] for index in chosen]
