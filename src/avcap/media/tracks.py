"""The tracks of a file that a player would choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from av import AudioStream, VideoStream
    from av.container import InputContainer

SECOND_RATE = ("comment", "hearing_impaired", "visual_impaired", "karaoke", "non_diegetic", "dependent")  # dispositions


class Tracks(NamedTuple):
    """The audio and the video track that are played, and what is to be said of the others."""

    audio: AudioStream | None
    video: VideoStream | None
    notes: tuple[str, ...]

    @property
    def chosen(self) -> list[AudioStream | VideoStream]:
        """Those that are there."""
        return [track for track in (self.audio, self.video) if track is not None]


def choose_tracks(container: InputContainer, *, audio: bool = True, video: bool = True) -> Tracks:
    """Choose the default audio track, else the first; the default video track, else the one with most pixels, never a cover.

    Args:
        container: An open file.
        audio: Whether an audio track is wanted.
        video: Whether a video track is wanted.
    """
    heard, seen = (container.streams.audio if audio else ()), (container.streams.video if video else ())
    sounds = [s for s in heard if s.codec_context is not None]
    films = [s for s in seen if s.codec_context is not None and _moves(s)]
    sound = max(sounds, key=lambda s: (*_rank(s), -s.index), default=None)
    film = max(films, key=lambda s: (*_film(s, films), -s.index), default=None)
    notes = [f"No decoder for track {s.index}; it is left out." for s in (*heard, *seen) if s.codec_context is None]
    for kind, total, chosen in (("audio", len(sounds), sound), ("video", len(films), film)):
        if total > 1 and chosen is not None:
            notes.append(f"Of {total} {kind} tracks track {chosen.index} is taken.")
    if not all(map(_moves, seen)):
        notes.append("Cover art is left out.")
    return Tracks(sound, film, tuple(notes))


def _moves(stream: VideoStream) -> bool:
    return not _is(stream, "attached_pic", "timed_thumbnails")


def _is(stream: AudioStream | VideoStream, *names: str) -> bool:
    return any(type(stream.disposition)[name] in stream.disposition for name in names)


def _rank(stream: AudioStream | VideoStream) -> tuple[bool, bool]:
    return _is(stream, "default"), not _is(stream, *SECOND_RATE)


def _film(stream: VideoStream, others: list[VideoStream]) -> tuple[bool, bool, bool, int]:
    context = stream.codec_context
    cover = len(others) > 1 and context.name in {"mjpeg", "png", "bmp", "gif"}  # a cover that is not marked as one
    return not cover, *_rank(stream), context.width * context.height
