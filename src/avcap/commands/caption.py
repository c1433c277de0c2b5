"""`avcap caption`: captions of video and sound files."""

from __future__ import annotations

import json as json_
import math
import sys
from pathlib import Path

from avcap.trained.files import FileCaptioner, Prediction, parse_files


def caption(
    files: list[Path],
    *,
    ckpt_path: Path = Path("runs/demo/checkpoints/best.ckpt"),
    json: bool = False,
    map: Path | None = None,  # noqa: A002 (the name of the option)
    num_beams: int | None = None,
) -> None:
    """Caption video and sound files.

    A file may be mp4, mkv, webm, wav, mp3, flac, ogg, or a pair `sound.wav+picture.jpg`; any sample rate, mono or stereo,
    with or without a picture track. A file that cannot be read is reported, the others are captioned all the same.

    Args:
        files: The files.
        ckpt_path: Checkpoint of a trained captioner.
        json: Print one JSON object a file.
        map: Draw the assignment map to this picture; with several files the name of each is added.
        num_beams: Beams of the search; null: as the model was configured.

    Raises:
        FileNotFoundError: if the checkpoint is not there.
    """
    captioner = FileCaptioner.from_checkpoint(ckpt_path)
    settings = {} if num_beams is None else {"num_beams": num_beams}
    failed = 0
    for file in parse_files(files):
        try:
            batch, found = captioner.load(file)
        except (OSError, ValueError) as error:
            print(f"avcap: error: {error}", file=sys.stderr)
            failed += 1
            continue
        captions, maps = captioner.caption(batch, **settings)
        found = found._replace(caption=captions[0])
        print(_json(found) if json else _line(found, many=len(files) > 1))
        if map is not None:
            path = map if len(files) == 1 else map.with_stem(f"{map.stem}-{batch['id'][0]}")
            _draw(path, batch, maps, found)
    if failed:
        raise SystemExit(1)


def _json(found: Prediction) -> str:
    seconds = None if math.isnan(found.seconds) else round(found.seconds, 3)  # JSON knows no NaN
    return json_.dumps({**found._asdict(), "seconds": seconds}, ensure_ascii=False)


def _line(found: Prediction, *, many: bool) -> str:
    only = "" if len(found.streams) == 2 else f"   [{found.streams[0]} only]"
    return f"{found.file}: {found.caption}{only}" if many else f"{found.caption}{only}"


def _draw(path: Path, batch: dict, maps: dict, found: Prediction) -> None:
    from avcap.callbacks.samples import picture_parts
    from avcap.figures import draw_map

    for plan in list(maps.values())[:1]:
        parts = picture_parts(batch, plan, 0, found.caption)
        if parts is not None:
            draw_map(path, **parts)
            print(f"wrote {path}", file=sys.stderr)
            return
    print(f"{found.file} has no assignment map: the fusion makes none, or a stream is missing.", file=sys.stderr)
