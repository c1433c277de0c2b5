"""The rows of the papers' tables, as data (``papers.yaml``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from avcap.mappings import read_yaml


@dataclass(frozen=True)
class PublishedRow:
    """One row of a paper's table.

    Attributes:
        settings: What it changes in the config of the system, by the paths of the settings.
        configs: Overlays of the repository, after the config of the system.
        scores: Metric -> per cent as printed; empty where they are not at hand.
        source: Where the scores or the settings are published.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    configs: tuple[Path, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class PaperTable:
    """The table of one paper.

    Attributes:
        title: Name, place and number of the paper.
        clips: Clips of the test list.
        selection: How the authors choose the checkpoint that is tested.
        decoding: How captions are decoded.
        metrics: Columns.
        rows: By name; the first is the published system.
    """

    title: str
    clips: int | str
    selection: str
    decoding: str
    metrics: tuple[str, ...]
    rows: Mapping[str, PublishedRow]


@cache
def read_papers() -> dict[str, PaperTable]:
    """Return the tables of all papers, by the name of the system."""
    table = read_yaml(Path(__file__).with_name("papers.yaml"))
    return {
        system: PaperTable(
            **{
                **paper,
                "metrics": tuple(paper["metrics"]),
                "rows": {name: _row(**row) for name, row in paper["rows"].items()},
            }
        )
        for system, paper in table.items()
    }


def _row(configs: Sequence[str] = (), **fields: Any) -> PublishedRow:
    return PublishedRow(configs=tuple(map(Path, configs)), **fields)


def published_scores(system: str, row: str) -> Mapping[str, float]:
    """Return the scores of a row as printed, in per cent; empty where they are not at hand.

    Raises:
        ValueError: if there is no such system or row.
    """
    papers = read_papers()
    if system not in papers:
        raise ValueError(f"There is no paper of {system!r}; choose of {', '.join(papers)}.")
    rows = papers[system].rows
    if row not in rows:
        raise ValueError(f"The table of {system} has no row {row!r}; choose of {', '.join(rows)}.")
    return rows[row].scores
