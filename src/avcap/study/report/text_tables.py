"""Tables as Markdown and LaTeX, and all results as CSV."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence

from avcap.study.report.collect import Run
from avcap.study.report.matrix_tables import Table, TableEntry
from avcap.study.report.table import align

_MARKDOWN = re.compile(r"[\\|*_`~$<>\[\]&@]|:(?=//)|(?<=www)\.|^[-+#=]|(?<=\d)[.)](?= )", re.IGNORECASE)
_TEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "×": r"$\times$",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "–": "--",
    "−": "$-$",
    "“": "``",
    "”": "''",
}


def markdown(table: Table, *, heading: bool = True) -> str:
    """Format an optional heading, the table with aligned columns, and its notes; strong entries are bold."""

    def write(entry: TableEntry) -> str:
        text = escape_markdown(entry.text)
        return f"**{text}**" if entry.strong else text

    body = [[write(entry) for entry in row] for row in [*table.rows, *table.below]]
    lines = align([write(TableEntry(name)) for name in table.head], body)
    title = [f"## {write(TableEntry(table.title))}", ""] if heading else []
    return "\n".join([*title, *lines, *(f"\n{escape_markdown(note)}" for note in table.notes)]) + "\n"


def escape_markdown(text: str) -> str:
    """Escape what Markdown would read as a table, a tag, a link, an emphasis or code; the text is one line."""
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(text.split()))


def latex(table: Table) -> str:
    r"""Format a LaTeX ``tabular`` that needs no package; strong entries are bold, notes are comments above.

    Rows that are no systems stand below a line of their own.
    """

    def line(row: Sequence[TableEntry]) -> str:
        cells = [rf"\textbf{{{escape_latex(e.text)}}}" if e.strong else escape_latex(e.text) for e in row]
        guard = "{}" if cells[0].startswith(("[", "*")) else ""  # the line break before would take it as its argument
        return f"{guard}{' & '.join(cells)} \\\\"

    notes = [f"% {line}" for note in (table.title, *table.notes) for line in note.splitlines()]
    below = [r"\hline", *map(line, table.below)] if table.below else []
    columns = "l" + "r" * (len(table.head) - 1)
    head = line([TableEntry(name) for name in table.head])
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\hline", head, r"\hline", *map(line, table.rows), *below]
    return "\n".join([*notes, *body, r"\hline", r"\end{tabular}"]) + "\n"


TRAINING = ("tokens_per_second", "padding", "mfu", "peak_memory_gib")
"""Facts about the speed of a training that ``report.csv`` has of a run, where its test found them."""


def escape_latex(text: str) -> str:
    """Escape LaTeX's special characters."""
    return "".join(_TEX.get(sign, sign) for sign in " ".join(text.split()))


def results_csv(runs: Iterable[Run], *, speeds: Mapping[str, float]) -> str:
    """Format a line per run with every score as in ``results.json`` (not multiplied by 100).

    ``speeds`` are clips a second in training by the folder of a run, where known.
    """
    runs = list(runs)
    metrics = list(dict.fromkeys(metric for run in runs for metric in run.results["scores"]))
    facts = [
        "axis",
        "variant",
        "seed",
        "split",
        "clips",
        "id_hash",
        "selection",
        "trainable",
        "parameters",
        "clips_per_second",
        *TRAINING,
    ]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*facts, *metrics, "folder"])
    for run in runs:
        parameters = run.results.get("settings", {}).get("parameters", {})
        speed = speeds.get(str(run.folder))
        training = run.results.get("training") or {}
        writer.writerow(
            [
                *(
                    run.axis,
                    run.variant,
                    run.seed,
                    run.protocol.split or "",
                    run.results["clips"],
                    run.results["id_hash"],
                ),
                run.protocol.selected,
                *(parameters.get("trainable", ""), parameters.get("all", ""), "" if speed is None else f"{speed:.4g}"),
                *(f"{training[name]:.4g}" if name in training else "" for name in TRAINING),
                *(run.results["scores"].get(metric, "") for metric in metrics),
                os.path.relpath(run.folder),
            ]
        )
    return out.getvalue()
