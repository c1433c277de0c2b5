"""Clips a second of `avcap data prepare` and `derive` against the loop of ffmpeg that people write.

    python benchmarks/decode.py --clips 48

Makes clips of AudioCaps's size (640x360, 25 frames a second, 10 s, stereo sound at 44.1 kHz) with a key frame every 10, 2 and
0.5 s, and brings them to 20 frames of 224, mono sound at 16 kHz and Kaldi's filter banks both ways by turns. The loop calls ffmpeg twice
for each clip (sound; `fps=2,scale,crop` and JPEGs), and one Python process for the filter banks of all. ffmpeg is the one on PATH, or
that of the package imageio-ffmpeg; without one the loop is left out. Prints for each kind: wall clock and CPU seconds of a clip both ways
and the medians of their pairwise ratios, once with the start of the programs and once without (a clip more); and the mean difference (of
255) of the frames from those that Pillow resizes.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation
from PIL import Image

from avcap.shards.reading import clip_of, read_item

SECONDS, FPS, FRAMES, SIZE, DISTINCT = 10, 25, 20, 224, 4
LOOP = f"""
for clip in "$1"/*.mp4; do
  name=$(basename "$clip" .mp4)
  mkdir -p "$2/$name"
  "$FFMPEG" -nostdin -loglevel error -i "$clip" -ac 1 -ar 16000 "$2/$name.wav"
  "$FFMPEG" -nostdin -loglevel error -i "$clip" -vf "fps={FRAMES / SECONDS:g},scale=-2:{SIZE},crop={SIZE}:{SIZE}" -q:v 2 "$2/$name/%02d.jpg"
done
"""
FBANKS = """
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch

from avcap.frontends import KaldiFbank

fbank = KaldiFbank()
for path in Path(sys.argv[1]).glob("*.wav"):
    np.save(path.with_suffix(".npy"), fbank.features(torch.from_numpy(soundfile.read(path, dtype="float32")[0])).numpy().astype(np.float16))
"""


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


def by_pillow(path: Path) -> np.ndarray:
    """Decode everything and let Pillow resize the frames at the middles of equal parts, ``[FRAMES, SIZE, SIZE, 3]``."""
    found: list[np.ndarray] = []
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    how = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
    for k in range(FRAMES):
        frame = max((f for f in frames if f.time <= (k + 0.5) * SECONDS / FRAMES), key=lambda f: f.time)
        image = Image.fromarray(frame.reformat(format="rgb24", interpolation=how).to_ndarray())
        picture = np.asarray(image.resize((round(640 * SIZE / 360), SIZE), Image.Resampling.BICUBIC))
        left = (picture.shape[1] - SIZE) // 2
        found.append(picture[:, left : left + SIZE])
    return np.stack(found)


def find_ffmpeg() -> str | None:
    """The ffmpeg on PATH, else that of the package imageio-ffmpeg, else None."""
    if (found := shutil.which("ffmpeg")) is not None:
        return found
    try:
        import imageio_ffmpeg
    except ImportError:
        return None
    return imageio_ffmpeg.get_ffmpeg_exe()


def seconds(action: Callable[[], None]) -> np.ndarray:
    """Wall clock and CPU seconds of the processes that an action starts and waits for."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    action()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array([wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime])


def call(*words: str | Path, **environment: str) -> None:
    subprocess.run(
        words, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}
    )


def write_folder(folder: Path, clips: int, every: float) -> Path:
    """Write a data set of some clips, of which few are distinct, with a key frame every so many seconds."""
    (folder / "train").mkdir(parents=True)
    names = [f"train/{k:05d}.mp4" for k in range(clips)]
    for k, name in enumerate(names):
        if k < DISTINCT:
            write_clip(folder / name, k, round(every * FPS))
        else:
            (folder / name).hardlink_to(folder / names[k % DISTINCT])
    (folder / "train.csv").write_text("file_name,caption\n" + "".join(f"{name},A tone.\n" for name in names))
    return folder


def by_avcap(folder: Path, workers: int) -> np.ndarray:
    """Seconds of preparing and deriving a data set."""
    shutil.rmtree(folder / "shards", ignore_errors=True)
    avcap, processes = (sys.executable, "-m", "avcap", "data"), ("--num_workers", str(workers))
    return seconds(lambda: call(*avcap, "prepare", folder, *processes, "--progress", "false")) + seconds(
        lambda: call(*avcap, "derive", folder / "shards", "--frontend", "KaldiFbank", *processes)
    )


def by_loop(folder: Path, ffmpeg: str) -> np.ndarray:
    """Seconds of the loop over a data set, and of the filter banks of all its clips."""
    out = folder / "loop"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    return seconds(lambda: call("sh", "-ec", LOOP, "loop", folder / "train", out, FFMPEG=ffmpeg)) + seconds(
        lambda: call(sys.executable, "-c", FBANKS, out)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args(arguments)
    ways = {"prepare and derive": lambda folder: by_avcap(folder, args.workers)}
    if (ffmpeg := find_ffmpeg()) is None:
        print("the loop is left out: there is no ffmpeg on PATH, and no package imageio-ffmpeg")
    else:
        ways["the loop"] = lambda folder: by_loop(folder, ffmpeg)
    with tempfile.TemporaryDirectory() as place:
        one = write_folder(Path(place) / "one", 1, 2.0)
        for every in (10.0, 2.0, 0.5):
            folder = write_folder(Path(place) / f"{every:g}", args.clips, every)
            off = np.abs(
                ours(folder / "train" / "00000.mp4").astype(int) - by_pillow(folder / "train" / "00000.mp4")
            ).mean()
            print(f"key frame every {every:g} s, {args.clips} clips; frames differ from Pillow's bicubic by {off:.1f}")
            rounds = [{name: (way(one), way(folder)) for name, way in ways.items()} for _ in range(args.rounds)]
            whole = {name: np.array([row[name][1] for row in rounds]) / args.clips for name in ways}
            more = {name: np.array([row[name][1] - row[name][0] for row in rounds]) / (args.clips - 1) for name in ways}
            for title, found in (("a clip, start included", whole), ("a clip more", more)):
                for name, values in found.items():
                    wall, cpu = np.median(values, axis=0)
                    print(f"  {title}, {name}: {wall:.3f} s, {cpu:.3f} CPU s")
                if len(ways) == 2:
                    wall, cpu = np.median(found["the loop"] / found["prepare and derive"], axis=0)
                    print(f"  {title}: {wall:.2f} times as fast as the loop, {cpu:.2f} times by CPU seconds")


def ours(path: Path) -> np.ndarray:
    """Read the frames as `avcap data prepare` does, ``[FRAMES, SIZE, SIZE, 3]``."""
    frames = read_item(clip_of(path), frames=FRAMES, size=SIZE, max_seconds=float(SECONDS)).frames
    return np.zeros(0) if frames is None else frames.permute(0, 2, 3, 1).numpy()


if __name__ == "__main__":
    main()
