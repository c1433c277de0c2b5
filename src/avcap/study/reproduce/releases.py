"""Published files: where they come from, and where they are in the user's folder of weights."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from avcap.mappings import read_yaml


@dataclass(frozen=True)
class Release:
    """A published file or folder; ``releases.yaml`` describes the fields."""

    title: str
    files: tuple[str, ...]
    place: str
    size: str
    gate: str = ""
    makes: str = ""
    format: str = "auto"
    named: str = ""
    package: str = ""

    def find(self, weights: Path) -> Path | None:
        """Return the file or folder in ``weights``; None if it is not there."""
        found = (path for name in self.files for path in sorted(weights.glob(name)))
        return next(found, None)

    def path(self, weights: Path) -> Path:
        """Return the file or folder in ``weights``, or where it would be."""
        return self.find(weights) or weights / self.files[0]

    def source(self, weights: Path) -> str:
        """Return what a config names: the folder in ``weights``, else the package, where it is installed."""
        if self.find(weights) is None and self.package and importlib.util.find_spec(self.package):
            return self.package
        return str(self.path(weights))

    def problem(self, weights: Path) -> str:
        """Return how to get it, in one sentence; empty where it is there."""
        if self.find(weights) is not None or self.source(weights) == self.package:
            return ""
        gate = f"; {self.gate}" if self.gate else ""
        return f"get it from {self.place} (size: {self.size}{gate}), and put it there"


@cache
def read_releases() -> dict[str, Release]:
    """Return all published files by their short names."""
    table = read_yaml(Path(__file__).with_name("releases.yaml"))
    return {name: Release(**{**row, "files": tuple(row["files"])}) for name, row in table.items()}
