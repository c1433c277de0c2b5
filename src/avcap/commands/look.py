"""`avcap data look`: what a model will hear and see of a file."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avcap.media import Media


def look(files: list[Path], *, frames: int = 8, size: int = 224, out: Path = Path("look")) -> None:
    """Write what a model will hear and see of files.

    Each file gets a folder of its name with `sound.wav` (16 kHz, mono), `frames/0000.png ...` and `look.json`. They are read
    as `avcap data prepare` and `avcap caption` read them. A file that cannot be read is reported, the others are written.

    Args:
        files: Video, sound or image files, or pairs `sound.wav+image.jpg`.
        frames: Frames of each.
        size: Height and width of the frames in pixels.
        out: Folder of the results.
    """
    from avcap.media.look import write_look
    from avcap.shards.reading import clip_of, item_of, parse_files, read_clip, whole_names

    if frames < 1 or size < 1:
        raise ValueError(f"frames and size must be at least 1, got {frames} and {size}.")
    failed = 0
    given = parse_files(files)
    for file, name in zip(given, whole_names(given), strict=True):
        try:
            clip = clip_of(file)
            media = read_clip(clip, frames=frames, size=size)
            item = item_of(clip, media)
        except (OSError, ValueError) as error:
            print(f"avcap: error: {error}", file=sys.stderr)
            failed += 1
            continue
        write_look(media, item.waveform, item.sample_rate, out / name)
        print("\n".join([f"{name}: {_facts(media)}", *_lines(media), f"  wrote {out / name}"]))
    if failed:
        raise SystemExit(1)


def _facts(media: Media) -> str:
    return "no length" if math.isnan(media.seconds) else f"{media.seconds:.3f} s"


def _lines(media: Media) -> list[str]:
    lines = []
    if media.waveform is not None:
        lines.append(f"  sound: track {media.audio_stream}, begins at {media.starts.get('audio', 0.0):.3f} s")
    if media.frames is not None:
        times = " ".join(f"{time:.3f}" for time in media.frame_times if not math.isnan(time))
        begin = f", begins at {media.starts['video']:.3f} s" if "video" in media.starts else ", an image"
        lines.append(f"  frames: track {media.video_stream}{begin}" + (f"; taken at {times} s" if times else ""))
    return lines + [f"  note: {note}" for note in (*media.absent, *media.notes)]
