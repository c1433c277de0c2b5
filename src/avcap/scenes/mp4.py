"""Write a clip as mp4: H.264 frames and AAC sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avcap.scenes.sounds.signal import SAMPLE_RATE


def write_mp4(path: Path, audio: np.ndarray, *, frames: np.ndarray, fps: int, bit_rate: int = 40_000) -> None:
    """Encode to a temporary name and rename, so that a file that exists is complete.

    Args:
        path: Where to write; the folder must exist.
        audio: Mono samples at 16 kHz, float32 [samples] within +-1.
        frames: uint8 [count, H, W, 3]; H and W even.
        fps: Frames a second.
        bit_rate: Of the sound, in bits a second.

    Raises:
        ValueError: If the sides of the frames are odd.
    """
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise ValueError(f"frames are {width} x {height} pixels, but H.264 needs even sides; choose an even size.")
    part = path.with_name(f".{path.stem}.part")
    with av.open(str(part), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        video = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "24", "bf": "0"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.thread_count = 1
        sound = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono", options={"aac_coder": "fast"})
        sound.bit_rate = bit_rate
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        samples = av.AudioFrame.from_ndarray(audio[None], format="fltp", layout="mono")
        samples.sample_rate, samples.pts, samples.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    part.replace(path)
