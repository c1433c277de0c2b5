"""`avcap report`: any number of runs compared, as a page, Markdown, LaTeX and CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from avcap.data.shards import SPLITS, Shards
from avcap.frontends import KaldiFbank
from avcap.jsonl import read_json_lines
from avcap.study.report.collect import Group, Run, choose_baselines, find_runs, group_runs
from avcap.study.report.compose import compose_report, write_report
from avcap.study.report.curves import read_curves
from avcap.study.report.page.clips import shown_ids
from avcap.study.report.page.pictures import sprite


def report(
    runs: list[Path],
    *,
    out: Path = Path("report"),
    baseline: str | None = None,
    clips: int = 200,
    title: str = "Audio-visual captioning: results",
) -> None:
    """Compare runs: one self-contained HTML page, and the tables as Markdown, LaTeX and CSV.

    Args:
        runs: Folders of runs after `avcap test`, or folders that hold such folders at any depth; below
            `<axis>/<variant>/<seed>` the seeds of a variant are taken together.
        out: Where to write `report.html`, `report.md`, `report.tex` and `report.csv`.
        baseline: The variant, or `axis/variant`, that the others are compared with; by default the first of each axis.
        clips: How many clips the caption browser shows.
        title: Heading of the page.

    Raises:
        FileNotFoundError: if a folder holds no run.
        ValueError: if a file of a run is damaged, there is no such baseline, or `clips` is negative.
    """
    if clips < 0:
        raise ValueError(f"--clips is {clips}; it must be 0 or more.")
    found = find_runs(runs)
    groups = group_runs(found)
    content = compose_report(
        groups,
        baselines=choose_baselines(groups, baseline),
        curves={run.folder: read_curves(run.folder) for run in found},
        kinds={group.id_hash: scene_kinds(group) for group in groups},
        clips=clips,
    )
    for path in write_report(out, content, title=title, thumbnails=thumbnails(groups, clips)):
        size = path.stat().st_size
        print(f"{path}  ({f'{size / 1e6:.1f} MB' if size >= 1e6 else f'{size / 1e3:.1f} kB'})")


def thumbnails(groups: list[Group], clips: int) -> dict[str, str]:
    """Return a sprite for each clip id that the browser shows and that the shards of some run still hold."""
    wanted, pictures = set(shown_ids(groups, clips)), {}
    for folder in dict.fromkeys(filter(None, map(shards_of, _runs(groups)))):
        for split in reversed(SPLITS):  # a test split most likely
            if wanted and (folder / split / "info.json").is_file():
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
    """Return the kind of scene of each clip id, from the ``events.jsonl`` beside the shards; empty without one."""
    files = [folder.parent / "events.jsonl" for folder in filter(None, map(shards_of, _runs([group])))]
    file = next((file for file in files if file.is_file()), None)
    clips = (clip for _, clip in read_json_lines(file)) if file else ()
    wanted = set(group.ids)
    return {clip["id"]: clip["scene"] for clip in clips if clip["id"] in wanted and "scene" in clip}


def shards_of(run: Run) -> Path | None:
    """Find the shards that a run's config names, in the working folder or any folder above the run; None if they are gone."""
    named = run.setting("data.init_args.shards")
    if named is None:
        return None
    places = (base / named for base in (Path.cwd(), *run.folder.parents))
    return next((place for place in places if place.is_dir()), None)


def _runs(groups: list[Group]) -> list[Run]:
    return [run for group in groups for cell in group.cells for run in cell.runs]


def _array(stream: Tensor | None) -> np.ndarray | None:
    return None if stream is None else stream.numpy()
