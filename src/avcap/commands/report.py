"""`avcap report`: any number of runs compared, as a page, Markdown, LaTeX and CSV."""

from __future__ import annotations

from pathlib import Path


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
    from avcap.study.report.collect import choose_baselines, find_runs, group_runs
    from avcap.study.report.compose import compose_report, write_report
    from avcap.study.report.curves import read_curves
    from avcap.study.report.run_shards import scene_kinds, thumbnails

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
