"""What a model will hear and see of a clip, written as files that people can open."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from avcap.atomic import write_atomically
from avcap.media.reading import Media

if TYPE_CHECKING:
    from torch import Tensor


def write_look(media: Media, waveform: Tensor | None, sample_rate: int, folder: Path) -> None:
    """Write ``sound.wav``, ``frames/0000.png ...`` and ``look.json``; what an earlier look left is replaced.

    Args:
        media: What was read.
        waveform: Its sound ``[samples]`` as it is stored; None without.
        sample_rate: Samples a second.
        folder: Where to write.
    """
    import soundfile

    pictures = folder / "frames"
    pictures.mkdir(parents=True, exist_ok=True)
    for old in (folder / "sound.wav", folder / "look.json", *pictures.glob("[0-9]*.png")):
        old.unlink(missing_ok=True)
    if waveform is not None:
        soundfile.write(folder / "sound.wav", waveform.numpy(), sample_rate, subtype="PCM_16")
    for k, frame in enumerate(() if media.frames is None else media.frames.permute(0, 2, 3, 1).numpy()):
        Image.fromarray(frame).save(pictures / f"{k:04d}.png")
    facts = {
        "seconds": _known(media.seconds),
        "frame_times": [_known(time) for time in media.frame_times],
        "audio_stream": media.audio_stream,
        "video_stream": media.video_stream,
        "notes": [*media.absent, *media.notes],
    }
    write_atomically(folder / "look.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")


def _known(seconds: float) -> float | None:
    return None if math.isnan(seconds) else round(seconds, 4)  # JSON knows no NaN
