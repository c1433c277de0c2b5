"""Render a scene to samples and frames in memory."""

from __future__ import annotations

import numpy as np

from avcap.scenes.pictures import draw
from avcap.scenes.scene import Event, Scene
from avcap.scenes.sounds import synthesise
from avcap.scenes.sounds.signal import SAMPLE_RATE, Points, noise, shape

_NEAR_DB, _FAR_DB, _BEHIND_DB, _ROOM_DB = -5.0, -17.0, -15.0, -52.0
_AIR: Points = ((50.0, 0.0), (1200.0, 0.0), (4000.0, -6.0), (8000.0, -12.0))
_ROOM: Points = ((30.0, 0.0), (200.0, -6.0), (8000.0, -24.0))
_AUDIBLE = 0.12
"""Share of its own peak level above which a sound moves its object."""


def render(scene: Scene, *, size: int = 64, fps: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Make the sound and the square frames of a scene.

    Returns:
        Audio, float32 [seconds * 16000], mono within +-1, and frames, uint8 [seconds * fps, size, size, 3].
    """
    tracks = [_track(scene, number, event) for number, event in enumerate(scene.events)]
    room = noise(scene.rng("room"), round(scene.seconds * SAMPLE_RATE), _ROOM) * 10 ** (_ROOM_DB / 20)
    audio = np.clip(sum(tracks, start=room), -1.0, 1.0).astype(np.float32)
    return audio, _frames(scene, tracks, size=size, fps=fps)


def _track(scene: Scene, number: int, event: Event) -> np.ndarray:
    """Render the sound of one event alone over the length of the clip [samples]; silence for a silent object."""
    line = np.zeros(round(scene.seconds * SAMPLE_RATE), dtype=np.float32)
    if event.audio is None:
        return line
    rng = scene.rng(f"audio {number}")
    start, end = event.audio
    sound = synthesise(rng, event.of.sound_group, seconds=end - start, manner=event.manner, count=event.count)
    if event.distant:
        sound = shape(sound, _AIR)
    level = _BEHIND_DB if event.background else _FAR_DB if event.distant else _NEAR_DB
    first = round(start * SAMPLE_RATE)
    sound = sound[: len(line) - first]
    line[first : first + len(sound)] = sound * 10 ** ((level + rng.uniform(-1.5, 1.5)) / 20)
    return line


def _moves(track: np.ndarray, frames: int) -> np.ndarray:
    """Return whether a track is audible while each frame is shown: bool [frames]."""
    length = len(track) // frames
    level = np.sqrt((track[: frames * length].reshape(frames, length) ** 2).mean(1))  # [frames]
    return level > max(_AUDIBLE * float(level.max()), 1e-5)


def _frames(scene: Scene, tracks: list[np.ndarray], *, size: int, fps: int) -> np.ndarray:
    """Render the frames; an object shakes and changes its phase exactly while it sounds."""
    count = max(1, round(scene.seconds * fps))
    phases = [np.where(_moves(track, count), 1 + np.arange(count) % 2, 0) for track in tracks]
    times = (np.arange(count) + 1e-6) / fps
    return draw(scene, scene.rng("frames"), times=times, phases=phases, size=size)
