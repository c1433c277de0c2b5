"""A matrix of configs that only tests/study/ablation/program.py reads."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from avcap.study.ablation.cell import cell_step
from avcap.study.graph import Step, run_steps
from avcap.study.runner import Runner

REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAM = (sys.executable, str(Path(__file__).with_name("program.py")))
TABLE = """
axes:
  fusion:
    base: {place}/base.yaml
    values:
      cross: {{config: {place}/ablation/fusion/cross.yaml}}
      time: {{config: {place}/ablation/fusion/time.yaml}}
  ot:
    base: {place}/base.yaml
    values: {{"off": {{act.say: none}}, full: {{act.say: all}}}}
matrices:
  tiny:
    runs: {place}/runs
    data: {place}/data/info.json
    seeds: [0, 1]
    axes: [fusion, ot]
    values: {{ot: ["off"]}}
    same: {{ot/off: fusion/time}}
"""


def calls(folder: Path) -> list[dict]:
    """The command lines that were run in the folder of a cell."""
    path = folder / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def verbs(folder: Path) -> list[str]:
    return [call["verb"] for call in calls(folder)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a base config, a table, overlays and data."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "info.json").write_text("{}")
    (tmp_path / "base.yaml").write_text(f"data: {tmp_path}/data\n")
    (tmp_path / "ablation").mkdir()
    (tmp_path / "matrix.yaml").write_text(TABLE.format(place=tmp_path))
    for name in ("fusion/time", "fusion/cross"):
        write_overlay(tmp_path, name, "none")
    return tmp_path


def write_overlay(place: Path, name: str, act: str) -> Path:
    path = place / "ablation" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"act:\n  {act if ': ' in act else f'say: {act}'}\n")
    return path


def run_cell(cell: Step, runner: Runner | None = None) -> str:
    """Run a cell, and return its state."""
    run_steps([cell], runner or Runner(str, launch=PROGRAM))
    return cell.state()


@pytest.fixture
def cell(place: Path) -> Step:
    overlay = place / "ablation" / "fusion" / "time.yaml"
    return cell_step(place / "base.yaml", overlay, place / "runs" / "fusion" / "time" / "0", seed=0)


@pytest.fixture
def folder(cell: Step) -> Path:
    return cell.makes.parent
