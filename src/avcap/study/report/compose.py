"""A whole report: its tables, its sentences, its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from avcap.study.protocol import ON_TEST
from avcap.study.report.collect import CellRuns, Group
from avcap.study.report.config_differences import uneven_seeds
from avcap.study.report.curves import Curve, clips_per_second
from avcap.study.report.matrix_tables import (
    Table,
    configs_of,
    differences_of,
    map_quality_of,
    protocols_of,
    results_of,
    scenes_of,
    versions_of,
)
from avcap.study.report.page import Illustrations, write_page
from avcap.study.report.page.clips import browser_data
from avcap.study.report.text_tables import escape_markdown, latex, markdown, results_csv


class Content(NamedTuple):
    """The content that all forms of the report share."""

    groups: Sequence[Group]
    summary: str
    warnings: list[str]
    tables: list[tuple[str, list[Table]]]  # section -> tables: results, differences, scenes, maps
    appendix: list[tuple[str, list[Table]]]  # config differences, versions
    curves: Mapping[Path, Mapping[str, Curve]]  # folder of a run -> tag -> curve
    browsers: list[dict[str, Any]]
    speeds: dict[str, float]  # folder of a run -> clips a second in training


def compose_report(
    groups: Sequence[Group],
    *,
    baselines: Mapping[tuple[str, str], CellRuns],
    curves: Mapping[Path, Mapping[str, Curve]],
    kinds: Mapping[str, Mapping[str, str]],
    clips: int,
) -> Content:
    """Compute everything that the report shows.

    Args:
        groups: Cells, by the clips they were tested on.
        baselines: See :func:`choose_baselines`.
        curves: Folder of a run -> its learning curves.
        kinds: Clip hash -> clip id -> kind of scene; may be empty.
        clips: How many clips the caption browser shows at most.
    """
    runs = [run for group in groups for run in group.runs]
    measured = {str(run.folder): clips_per_second(run, curves[run.folder]) for run in runs}
    speeds = {folder: speed for folder, speed in measured.items() if speed is not None}
    results, changes, scenes, maps, protocols, configs, versions = [], [], [], [], [], [], []
    for group in groups:
        of = _names_its_clips(group, groups)
        results.append(of(results_of(group, speeds=_mean_speeds(group, speeds))))
        compared = [(axis, baselines.get((group.id_hash, axis))) for axis in group.axes]
        changes += [
            of(differences_of(group, axis, base))
            for axis, base in compared
            if base is not None and any(cell is not base for cell in group.axes[axis])
        ]
        scenes += [of(table) for table in [scenes_of(group, kinds[group.id_hash])] if table]
        maps += [of(table) for table in [map_quality_of(group)] if table]
        protocols.append(of(protocols_of(group)))
        configs += [of(table) for axis in group.axes if (table := configs_of(group, axis))]
        versions.append(of(versions_of(group)))
    browsers = [browser_data(group, clips=clips, kinds=kinds[group.id_hash]) for group in groups]
    return Content(
        groups=groups,
        summary=summarise(groups),
        warnings=find_faults(groups),
        tables=[("Results", results), ("Differences", changes), ("By kind of scene", scenes), ("Map quality", maps)],
        appendix=[("Protocol", protocols), ("Config differences", configs), ("Versions", versions)],
        curves=curves,
        browsers=[data for data in browsers if data],
        speeds=speeds,
    )


def write_report(out: Path, content: Content, *, title: str, thumbnails: Mapping[str, str]) -> list[Path]:
    """Write ``report.html``, ``report.md``, ``report.tex`` and ``report.csv`` into a folder, and return the files.

    ``thumbnails`` are images as data URIs by clip id; clips without one are shown without.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_page(
        out / "report.html",
        title=title,
        summary=content.summary,
        warnings=content.warnings,
        groups=content.groups,
        tables=content.tables,
        illustrations=Illustrations(content.curves, content.browsers, thumbnails),
        appendix=content.appendix,
    )
    tables = [table for _, part in content.tables for table in part]
    more = [table for _, part in content.appendix for table in part]
    title, summary, *warnings = map(escape_markdown, (title, content.summary, *content.warnings))
    sentences = [f"# {title}", summary, *(f"> {sentence}" for sentence in warnings)]
    texts = {
        "report.md": "\n\n".join([*sentences, *(markdown(table) for table in tables + more)]),
        "report.tex": "\n".join(map(latex, tables)),
        "report.csv": results_csv([run for group in content.groups for run in group.runs], speeds=content.speeds),
    }
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")
    return [out / name for name in ("report.html", *texts)]


def summarise(groups: Sequence[Group]) -> str:
    """Summarise in one line: how many systems, clips and runs, and which clips."""
    cells = [cell for group in groups for cell in group.cells]
    seeds = sorted({len(cell.runs) for cell in cells})
    spoken = f"{seeds[0]} to {seeds[-1]} seeds each" if len(seeds) > 1 else _plural(seeds[0], "seed") + " each"
    clips = "; ".join(f"{_plural(group.count, 'clip')} (ids {group.id_hash})" for group in groups)
    on_test = sum(any(protocol.on_test for protocol in cell.protocols) for cell in cells)
    told = f", {on_test} of them {ON_TEST}" if on_test else ""
    return f"{_plural(len(cells), 'system')}, {spoken}, tested on {clips}{told}."


def find_faults(groups: Sequence[Group]) -> list[str]:
    """Write sentences on what makes numbers hard to compare: other clips, other tokenisers, other settings among seeds."""
    faults = []
    if len(groups) > 1:
        hashes = ", ".join(f"{group.id_hash} ({_plural(group.count, 'clip')})" for group in groups)
        faults.append(
            f"These runs were tested on {len(groups)} different lists of clips, {hashes}: scores of different lists "
            "cannot be compared, so every list has tables of its own."
        )
    for group in groups:
        if len({run.results.get("tokenizer") for run in group.runs}) > 1:
            faults.append(
                f"Words were not split alike in the runs on clips {group.id_hash} (ptb and plain): "
                "score them again with `avcap score`, with Java, before comparing them."
            )
        chosen = [cell for cell in group.cells if any(protocol.on_test for protocol in cell.protocols)]
        if chosen:
            faults.append(
                f"The checkpoints of {', '.join(cell.name for cell in chosen)} were {ON_TEST}: the clips that these scores are of "
                "have chosen them, as in the papers' code. Such scores tend to be higher than those of a checkpoint that other clips chose."
            )
        faults += [
            f"The seeds of {cell.name} differ in more than the seed: {', '.join(keys)}."
            for cell in group.cells
            if (keys := uneven_seeds(cell))
        ]
    return faults


def _names_its_clips(group: Group, groups: Sequence[Group]) -> Callable[[Table], Table]:
    """Add the list of clips to the titles of tables, if there are several lists."""
    suffix = f" (clips {group.id_hash})" if len(groups) > 1 else ""
    return lambda table: table._replace(title=table.title + suffix)


def _mean_speeds(group: Group, speeds: Mapping[str, float]) -> dict[str, float]:
    """Return the mean speed of each cell's runs."""
    known = {c.name: [speeds[str(r.folder)] for r in c.runs if str(r.folder) in speeds] for c in group.cells}
    return {name: sum(values) / len(values) for name, values in known.items() if values}


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
