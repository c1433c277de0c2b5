"""Small media files made on the spot for the tests of the data pipeline."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

from avcap.media import read_media


def heard(path: Path, **settings) -> torch.Tensor | None:
    """The sound of a file."""
    return read_media(path, frames=0, size=8, **settings).waveform


def seen(path: Path | list[Path], count: int, size: int, **settings) -> torch.Tensor | None:
    """Frames of a video or of images, spread over it alone."""
    paths = [path] if isinstance(path, Path) else path
    return read_media(None, paths, frames=count, size=size, **settings).frames


def tone(seconds: float, rate: int = 16_000, hz: float = 440.0, level: float = 0.3) -> np.ndarray:
    """A sine ``[samples]`` float32."""
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_media(
    path: Path,
    *,
    wave: np.ndarray | None = None,
    rate: int = 16_000,
    channels: int = 1,
    codec: str = "aac",
    pictures: Sequence[np.ndarray] | None = None,
    fps: int = 5,
    options: dict[str, str] | None = None,
) -> Path:
    """Write sound and pictures ``[H, W, 3]`` into one file of any container; the channels of the sound are copies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as out:
        video = None
        if pictures is not None:
            video = out.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "10"})
            video.height, video.width = pictures[0].shape[:2]
            video.pix_fmt = "yuv420p"
        audio = None
        if wave is not None:
            audio = out.add_stream(codec, rate=rate, layout="mono" if channels == 1 else "stereo")
        for picture in pictures or ():
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        if video is not None:
            out.mux(video.encode())
        if audio is not None:
            layout = "mono" if channels == 1 else "stereo"
            resampler = av.AudioResampler(
                format=audio.format.name, layout=layout, rate=rate, frame_size=audio.frame_size
            )
            frame = av.AudioFrame.from_ndarray(np.repeat(wave[None], channels, 0), format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, 0
            for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                out.mux(audio.encode(piece))
            out.mux(audio.encode())
    return path


def grey_ramp(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Pictures whose grey value tells their number: 10, 20, 30 ..."""
    return [np.full((height, width, 3), 10 * (k + 1), np.uint8) for k in range(count)]


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    """A CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


def small_set(root: Path, train: int = 26, val: int = 5, *, seconds: float = 0.5, size: int = 32) -> Path:
    """A data set in the AudioCaps layout: 1 caption a train clip (every third: 3), 5 a val clip; every fifth lacks a stream."""
    columns = ("audiocap_id", "youtube_id", "start_time", "caption")
    generator = np.random.default_rng(0)
    for split, count, offset in (("train", train, 0), ("val", val, 1000)):
        rows = []
        for k in range(count):
            youtube_id = f"clip{offset + k:07d}"
            pictures = [generator.integers(0, 255, (size, size, 3), dtype=np.uint8)] * 3
            write_media(
                root / "videos" / f"{youtube_id}_{k}.mp4",
                wave=None if k % 5 == 3 else tone(seconds, hz=200.0 + 50 * k),
                pictures=None if k % 5 == 4 else pictures,
            )
            captions = 5 if split == "val" else (3 if k % 3 == 0 else 1)
            rows += [(10 * k + c, youtube_id, k, f"caption {c} of {split} clip {k}") for c in range(captions)]
        write_csv(root / f"{split}.csv", columns, rows)
    return root


RED, BLUE, WHITE = (220, 0, 0), (0, 0, 220), (255, 255, 255)
FLASH = (1.0, 1.4)  # seconds from the beginning of the film, of the flash and of the tone


def two_colours(height: int = 48, width: int = 64, *, flash: bool = False) -> np.ndarray:
    """A picture, red above and blue below, or white."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[: height // 2], picture[height // 2 :] = (WHITE, WHITE) if flash else (RED, BLUE)
    return picture


def flash_sound(seconds: float = 2.0, rate: int = 44_100, begins: float = 0.0) -> np.ndarray:
    """Silence with a tone in FLASH ``[samples]``, cut off before ``begins``."""
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * 1000 * time) * ((time >= FLASH[0]) & (time < FLASH[1]))
    return wave[round(begins * rate) :].astype(np.float32)


def write_film(
    path: Path,
    *,
    container: str | None = None,
    codec: str = "libx264",
    sound: str | None = "aac",
    fps: int = 25,
    clock: float = 0.0,
    video_from: float = 0.0,
    sound_from: float = 0.0,
    video_until: float = 2.0,
    keep: Callable[[int], bool] = lambda _: True,
    prepare: Callable[[av.VideoStream, av.AudioStream | None], None] = lambda *_: None,
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (48, 64),
    muxing: dict[str, str] | None = None,
) -> Path:
    """Write 2 s that are red above and blue below; in FLASH they are white and a tone sounds.

    Args:
        path: Where to write.
        container: Format; None: by the suffix.
        codec: Of the video.
        sound: Codec of the sound; None for none.
        fps: Frames a second.
        clock: Time stamps begin at so many seconds.
        video_from: The video track begins so late.
        sound_from: The audio track begins so late.
        video_until: The video track ends then.
        keep: Numbers of the frames that are written.
        prepare: Changes the tracks before the first frame.
        options: Of the video's codec.
        pix_fmt: Of the video.
        size: Height and width.
        muxing: Options of the container.
    """
    with av.open(str(path), "w", format=container, options=muxing or {}) as out:
        video = out.add_stream(codec, rate=fps, options=options or {})
        video.height, video.width = size
        video.pix_fmt = pix_fmt
        audio = None if sound is None else out.add_stream(sound, rate=44_100, layout="mono")
        prepare(video, audio)
        for k in range(round(video_from * fps), round(video_until * fps)):
            if keep(k):
                frame = av.VideoFrame.from_ndarray(two_colours(*size, flash=FLASH[0] <= k / fps < FLASH[1]))
                frame.pts, frame.time_base = k + round(clock * fps), Fraction(1, fps)
                out.mux(video.encode(frame))
        out.mux(video.encode())
        if audio is not None:
            frame = av.AudioFrame.from_ndarray(flash_sound(begins=sound_from)[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44_100, 0
            resampler = av.AudioResampler(audio.format.name, "mono", 44_100, frame_size=audio.frame_size)
            for piece in (*resampler.resample(frame), *resampler.resample(None)):
                piece.pts += round((clock + sound_from) * 44_100)
                out.mux(audio.encode(piece))
            out.mux(audio.encode())
    return path


def tone_times(wave: torch.Tensor, rate: int = 16_000) -> tuple[float, float]:
    """When the tone of a recording begins and ends, in seconds."""
    loud = torch.nonzero(wave.abs() > 0.3 * wave.abs().max()).squeeze(1)
    return float(loud[0]) / rate, float(loud[-1]) / rate


def flash_times(frames: torch.Tensor, times: Sequence[float]) -> tuple[float, float]:
    """When the first and the last white frame were taken, in seconds."""
    white = [time for frame, time in zip(frames, times, strict=True) if frame.float().mean() > 200]
    return white[0], white[-1]
