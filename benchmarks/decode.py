"""Clips per CPU-second of decoding: avcap against a loop that decodes every frame.

    python benchmarks/decode.py --clips 3

Makes clips of AudioCaps's size (640x360, 25 frames a second, 10 s, stereo sound at 44.1 kHz) with a key frame every 10, 2 and
0.5 s, and reads 20 frames of 224 and the sound of each by turns both ways. The plain loop decodes all, as `ffmpeg -vf
fps=2,scale` does. Prints for each kind: clips per CPU-second both ways, their ratio, the mean difference of the frames (of 255),
theirs from frames that Pillow resized, and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch
from av.video.reformatter import Interpolation
from PIL import Image

from avcap.shards.reading import clip_of, read_item

SECONDS, FPS, FRAMES, SIZE, ROUNDS = 10, 25, 20, 224, 3


def write_clip(path: Path, seed: int, key_frame_every: int) -> Path:
    """A window that wanders over a coloured landscape, with the noise of a camera, and a tone."""
    rng = np.random.default_rng(seed)
    landscape = np.asarray(
        Image.fromarray(rng.integers(0, 255, (90, 160, 3), dtype=np.uint8)).resize(
            (1280, 720), Image.Resampling.BICUBIC
        )
    )
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=FPS, options={"g": str(key_frame_every), "crf": "26"})
        video.width, video.height, video.pix_fmt = 640, 360, "yuv420p"
        audio = out.add_stream("aac", rate=44_100, layout="stereo")
        for k in range(SECONDS * FPS):
            x, y = int(300 + 250 * np.sin(k / 20)), int(150 + 140 * np.cos(k / 31))
            picture = landscape[y : y + 360, x : x + 640] + rng.integers(-6, 7, (360, 640, 3))
            frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), format="rgb24")
            out.mux(video.encode(frame))
        out.mux(video.encode())
        wave = (0.3 * np.sin(2 * np.pi * 440 * np.arange(SECONDS * 44_100) / 44_100)).astype(np.float32)
        sound = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
        sound.sample_rate = 44_100
        resampler = av.AudioResampler("fltp", "stereo", 44_100, frame_size=1024)
        for piece in (*resampler.resample(sound), *resampler.resample(None)):
            out.mux(audio.encode(piece))
        out.mux(audio.encode())
    return path


def plain(path: Path, scale: Callable[[av.VideoFrame], np.ndarray] | None = None) -> np.ndarray:
    """Decode everything; scale and crop the frames at the middles of equal parts."""
    scale = scale or _square
    wanted = [(k + 0.5) * SECONDS / FRAMES for k in range(FRAMES)]
    found: list[np.ndarray] = []
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        last = None
        for frame in container.decode(video=0):
            while len(found) < FRAMES and last is not None and frame.time > wanted[len(found)]:
                found.append(scale(last))
            last = frame
        found += [scale(last)] * (FRAMES - len(found))
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("s16", "mono", 16_000)
        for frame in container.decode(audio=0):
            resampler.resample(frame)
    return np.stack(found)


def ours(path: Path) -> np.ndarray:
    """Read it as `avcap data prepare` does."""
    frames = read_item(clip_of(path), frames=FRAMES, size=SIZE, max_seconds=float(SECONDS)).frames
    return np.zeros(0) if frames is None else frames.permute(0, 2, 3, 1).numpy()


def _square(frame: av.VideoFrame) -> np.ndarray:
    how = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
    scaled = frame.reformat(width=round(640 * SIZE / 360), height=SIZE, format="rgb24", interpolation=how, threads=1)
    picture = scaled.to_ndarray()
    left = (picture.shape[1] - SIZE) // 2
    return picture[:, left : left + SIZE]


def _by_pillow(frame: av.VideoFrame) -> np.ndarray:
    how = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
    image = Image.fromarray(frame.reformat(format="rgb24", interpolation=how).to_ndarray())
    picture = np.asarray(image.resize((round(640 * SIZE / 360), SIZE), Image.Resampling.BICUBIC))
    left = (picture.shape[1] - SIZE) // 2
    return picture[:, left : left + SIZE]


def _cpu_seconds(read: Callable[[Path], np.ndarray], paths: list[Path]) -> float:
    start = time.process_time()
    for path in paths:
        read(path)
    return (time.process_time() - start) / len(paths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for seconds, every in ((10.0, 250), (2.0, 50), (0.5, 12)):
            paths = [write_clip(Path(folder) / f"{every}_{k}.mp4", k, every) for k in range(args.clips)]
            frames = ours(paths[0]).astype(int)
            off, off_pillow = (np.abs(frames - plain(paths[0], scale)).mean() for scale in (_square, _by_pillow))
            times = [(_cpu_seconds(plain, paths), _cpu_seconds(ours, paths)) for _ in range(ROUNDS)]
            slow, quick = np.median(times, axis=0)
            print(
                f"key frame every {seconds:g} s: {1 / quick:.1f} clips per CPU-second, plain loop {1 / slow:.1f},"
                f" ratio {np.median([a / b for a, b in times]):.2f}; frames differ by {off:.1f},"
                f" from Pillow's bicubic by {off_pillow:.1f}"
            )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
