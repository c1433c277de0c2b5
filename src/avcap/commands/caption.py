"""`avcap caption`: captions of video and audio files."""

from __future__ import annotations

import json as json_
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avcap.trained.files import Caption
    from avcap.types import Batch


def caption(
    files: list[Path],
    *,
    ckpt_path: Path = Path("runs/demo/checkpoints/best.ckpt"),
    config: list[Path] = [],  # noqa: B006 (a schema default; never changed)
    weights: list[Path] = [],  # noqa: B006
    weights_root: Path | None = None,
    json: bool = False,
    map: Path | None = None,  # noqa: A002 (the name of the option)
    num_beams: int | None = None,
) -> None:
    """Caption video and sound files.

    A file may be any video, sound or image that FFmpeg or Pillow reads, whatever its suffix, or a pair `sound.wav+image.jpg`. A file that cannot be read is reported, the others are captioned all the same.

    Args:
        files: The files.
        ckpt_path: Checkpoint of a trained captioner.
        config: In place of a checkpoint, a captioner's config; further ones are laid over it.
        weights: With `--config`, the files that hold its weights: as published, imported, or a checkpoint.
        weights_root: Folder in which files that the checkpoint or the config names are looked for first.
        json: Print one JSON object a file.
        map: Draw the assignment map to this image file; with several files the whole name of each is added.
        num_beams: Beams of the search; null: as the model was configured.

    Raises:
        FileNotFoundError: if the checkpoint, or a file of weights, is not there.
        ValueError: if a config comes without weights, or the weights are of another captioner.
        SystemExit: with status 1, if a file cannot be read.
    """
    from avcap.shards.reading import clip_of, parse_files, whole_names
    from avcap.trained.files import load

    given = parse_files(files)
    ready, failed = [], 0
    for file, name in zip(given, whole_names(given), strict=True):  # before a model is loaded
        try:
            clip_of(file)
            ready.append((file, name))
        except (OSError, ValueError) as error:
            print(f"avcap: error: {error}", file=sys.stderr)
            failed += 1
    if not ready:
        raise SystemExit(1)
    released = bool(config or weights)
    captioner = load(None if released else ckpt_path, config=config, weights=weights, weights_root=weights_root)
    settings = {} if num_beams is None else {"num_beams": num_beams}
    for file, name in ready:
        try:
            batch, found = captioner.load(file)
        except (OSError, ValueError) as error:
            print(f"avcap: error: {error}", file=sys.stderr)
            failed += 1
            continue
        found = captioner.caption_loaded(batch, found, **settings)
        print(_json(found) if json else _line(found, many=len(files) > 1))
        if map is not None:
            path = map if len(files) == 1 else map.with_stem(f"{map.stem}-{name}")
            _draw(path, batch, found)
    if failed:
        raise SystemExit(1)


def _json(found: Caption) -> str:
    seconds = None if math.isnan(found.seconds) else round(found.seconds, 3)  # JSON knows no NaN
    row = {"file": found.file, "caption": found.text, "streams": found.streams, "seconds": seconds}
    return json_.dumps(row, ensure_ascii=False)


def _line(found: Caption, *, many: bool) -> str:
    only = "" if len(found.streams) == 2 else f"   [{found.streams[0]} only]"
    return f"{found.file}: {found.text}{only}" if many else f"{found.text}{only}"


def _draw(path: Path, batch: Batch, found: Caption) -> None:
    from avcap.figures import draw_map
    from avcap.figures.parts import picture_parts

    if found.map is not None:
        parts = picture_parts(batch, found.map, 0, found.text)
        if parts is not None:
            draw_map(path, **parts)
            print(f"wrote {path}", file=sys.stderr)
            return
    print(f"{found.file} has no assignment map: the fusion makes none, or a stream is missing.", file=sys.stderr)
