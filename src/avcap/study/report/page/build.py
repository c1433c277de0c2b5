"""Builds the page from the data and a template, a style sheet and a script beside this module."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from avcap.study.report.collect import CellRuns, Group
from avcap.study.report.curves import Curve, shown
from avcap.study.report.matrix_tables import Table, TableEntry
from avcap.study.report.page.charts import Line, legend, line_chart
from avcap.study.report.page.pictures import light_picture


class Illustrations(NamedTuple):
    """The content of a page besides its tables."""

    curves: Mapping[Path, Mapping[str, Curve]]  # folder of a run -> tag -> curve
    browsers: Sequence[Mapping[str, Any]]  # what browser_data returns, a group each
    thumbnails: Mapping[str, str]  # clip id -> data URI


class Section(NamedTuple):
    """A part of the page: its anchor, heading and HTML."""

    anchor: str
    title: str
    body: str


def write_page(
    path: Path,
    *,
    title: str,
    summary: str,
    warnings: Sequence[str],
    groups: Sequence[Group],
    tables: Sequence[tuple[str, Sequence[Table]]],
    illustrations: Illustrations,
    appendix: Sequence[tuple[str, Sequence[Table]]],
) -> None:
    """Write the page.

    Args:
        path: The HTML file.
        title: Its heading.
        summary: One line below it.
        warnings: Sentences that a reader must see first.
        groups: The cells.
        tables: Section heading -> tables, before the figures.
        illustrations: Curves, captions, thumbnails.
        appendix: Section heading -> tables, after the captions.
    """
    here = files(__package__)
    pictures = [
        Section("curves", "Learning curves", curves_html(groups, illustrations.curves)),
        Section("maps", "Assignment maps", pictures_html(groups, "maps")),
        Section("figures", "Figures", pictures_html(groups, "figures")),
        Section("captions", "Captions", '<div id="browser"></div>' if illustrations.browsers else ""),
    ]
    sections = [_tables(*part) for part in tables] + pictures + [_tables(*part) for part in appendix]
    sections = [section for section in sections if section.body]
    html = Template((here / "template.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        summary=escape(summary),
        warnings="".join(f'<p class="warning">{escape(sentence)}</p>' for sentence in warnings),
        style=(here / "style.css").read_text(encoding="utf-8"),
        script=(here / "script.js").read_text(encoding="utf-8"),
        links="".join(f'<li><a href="#{section.anchor}">{escape(section.title)}</a></li>' for section in sections),
        body="\n".join(
            f'<section id="{part.anchor}"><h2>{escape(part.title)}</h2>\n{part.body}</section>' for part in sections
        ),
        browsers=script_json(illustrations.browsers),
        thumbnails=script_json(illustrations.thumbnails),
    )
    path.write_text(html, encoding="utf-8")


def table_html(table: Table, *, captioned: bool = True) -> str:
    """Return a table that scrolls sideways if needed and whose columns the script can sort."""

    def row(entries: Sequence[TableEntry]) -> str:
        first = f'<th scope="row">{_breakable(entries[0].text)}</th>'
        return f"<tr>{first}{''.join(map(_cell, entries[1:]))}</tr>"

    kind = ' class="words"' if all(entry.value is None for line in table.rows for entry in line) else ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.head)
    below = f'<tbody class="below">{"".join(map(row, table.below))}</tbody>' if table.below else ""
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in table.notes)
    caption = f"<figcaption>{escape(table.title)}</figcaption>" if captioned else ""
    return (
        f'<figure class="table">{caption}<div class="scroll" tabindex="0" '
        f'role="region" aria-label="{escape(table.title)}"><table{kind}><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(map(row, table.rows))}</tbody>{below}</table></div>{notes}</figure>"
    )


def curves_html(groups: Sequence[Group], curves: Mapping[Path, Mapping[str, Curve]]) -> str:
    """Return a row of charts per axis, with a line per run and a colour per variant; empty if no run has curves."""
    parts = []
    for group in groups:
        for axis, cells in group.axes.items():
            known = [(n, cell, curves[run.folder]) for n, cell in enumerate(cells) for run in cell.runs]
            tags = shown([by_tag for *_, by_tag in known])
            charts = [
                line_chart(
                    tag,
                    [Line(c.name, n, *by_tag[tag][:2]) for n, c, by_tag in known if tag in by_tag],
                    log="loss" in tag,
                )
                for tag in tags
            ]
            if charts:
                heading = f"<h3>{escape(_heading(group, axis, groups))}</h3>" if axis or len(groups) > 1 else ""
                parts.append(
                    heading + legend([cell.variant for cell in cells]) + f'<div class="charts">{"".join(charts)}</div>'
                )
    return "".join(parts)


def pictures_html(groups: Sequence[Group], folder: str) -> str:
    """Return the figures of each cell's first seed as collapsible sections; only the first one is open."""
    parts = [
        (cell, pictures)
        for group in groups
        for cell in group.originals.values()
        if (pictures := sorted((cell.runs[0].folder / folder).glob("*.png")))
    ]
    return "".join(
        f"<details{'' if number else ' open'}><summary>{escape(cell.name)}</summary>"
        f"{''.join(_picture(cell, path) for path in pictures)}</details>"
        for number, (cell, pictures) in enumerate(parts)
    )


def script_json(value: Any) -> str:
    """Return JSON that is safe inside a ``script`` element, whatever text it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _tables(title: str, tables: Sequence[Table]) -> Section:
    named = (table_html(table, captioned=table.title != title) for table in tables)
    return Section(title.lower().replace(" ", "-"), title, "".join(named))


def _breakable(name: str) -> str:
    """Return a name that may break across lines only after a slash, a dot or an underscore."""
    return re.sub(r"([/._])(?=\w)", r"\1<wbr>", escape(name))


def _cell(entry: TableEntry) -> str:
    strong = ' class="best"' if entry.strong else ""
    value = "" if entry.value is None else f' data-value="{entry.value:.8g}"'
    return f"<td{strong}{value}>{escape(entry.text)}</td>"


def _picture(cell: CellRuns, path: Path) -> str:
    name = escape(f"{cell.name}: {path.stem}")
    return (
        f'<figure><img src="{light_picture(path)}" alt="{name}" loading="lazy" decoding="async">'
        f"<figcaption>{escape(path.stem)}</figcaption></figure>"
    )


def _heading(group: Group, axis: str, groups: Sequence[Group]) -> str:
    """Return the heading of an axis, with its list of clips if the report has several."""
    clips = f"clips {group.id_hash}" if len(groups) > 1 else ""
    return ", ".join(part for part in (axis, clips) if part)
