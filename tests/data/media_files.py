"""Small media files made on the spot for the tests of the data pipeline."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import torch

from avcap.data.media import read_media


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
