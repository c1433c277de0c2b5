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


def choose_tracks(container: InputContainer) -> Tracks:
    """Choose the default audio track, else the first; the default video track, else the one with most pixels, never a cover."""
    notes = []
    audio = [s for s in container.streams.audio if _decodable(s)]
    video = [s for s in container.streams.video if _decodable(s) and _moves(s)]
    covers = sum(not _moves(s) for s in container.streams.video)
    undecodable = [s for s in (*container.streams.audio, *container.streams.video) if not _decodable(s)]
    if undecodable:
        notes.append(f"No decoder for track {', '.join(str(s.index) for s in undecodable)}.")
    sound = max(audio, key=lambda s: (_rank(s), -s.index), default=None)
    film = max(video, key=lambda s: (*_film(s, video), -s.index), default=None)
    if len(audio) > 1 and sound is not None:
        notes.append(f"Of {len(audio)} audio tracks track {sound.index} is played.")
    if len(video) > 1 and film is not None:
        notes.append(f"Of {len(video)} video tracks track {film.index} is played.")
    if covers:
        notes.append("Cover art is left out.")
    return Tracks(sound, film, tuple(notes))


def _decodable(stream: AudioStream | VideoStream) -> bool:
    return stream.codec_context is not None


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
