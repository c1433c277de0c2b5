"""The shards that runs were tested on: figures of their clips, and kinds of scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from avcap.frontends import KaldiFbank
from avcap.jsonl import read_json_lines
from avcap.shards.reader import SPLITS, Shards
from avcap.study.report.collect import Group, Run
from avcap.study.report.page.clips import shown_ids
from avcap.study.report.page.pictures import sprite


def thumbnails(groups: list[Group], clips: int) -> dict[str, str]:
    """Draw the sprites, clip id -> sprite, of the clips that the browser shows and the shards of some run still hold."""
    wanted, pictures = set(shown_ids(groups, clips)), {}
    for folder in dict.fromkeys(shards_of_run(run) for group in groups for run in group.runs):
        for split in reversed(SPLITS):  # a test split most likely
            if folder and wanted and (folder / split / "info.json").is_file():
                shards = Shards(folder / split)
                for index in [i for i, clip in enumerate(shards.ids) if clip in wanted]:
                    item = shards.item(index, streams=("waveform", "frames"))
                    sound = None if item.waveform is None else KaldiFbank().features(item.waveform)
                    picture = sprite(*(_array(stream) for stream in (sound, item.frames)))
                    if picture is not None:
                        pictures[item.id] = picture
                    wanted.discard(item.id)
    return pictures


def scene_kinds(group: Group) -> dict[str, str]:
    """Read clip id -> kind of scene from the ``events.jsonl`` beside the shards; empty without one."""
    files = [folder.parent / "events.jsonl" for folder in filter(None, map(shards_of_run, group.runs))]
    file = next((file for file in files if file.is_file()), None)
    clips = (clip for _, clip in read_json_lines(file)) if file else ()
    wanted = set(group.ids)
    return {clip["id"]: clip["scene"] for clip in clips if clip["id"] in wanted and "scene" in clip}


def shards_of_run(run: Run) -> Path | None:
    """Find the shards that a run's config names, in the working folder or any folder above the run; None if they are gone."""
    named = run.setting("data.init_args.shards")
    if named is None:
        return None
    places = (base / named for base in (Path.cwd(), *run.folder.parents))
    return next((place for place in places if place.is_dir()), None)


def _array(stream: Tensor | None) -> np.ndarray | None:
    return None if stream is None else stream.numpy()
