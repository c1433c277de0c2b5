"""A matrix of configs that only tests/study/ablation/program.py reads, and Make on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from avcap.study.ablation import Cell

REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAM = (sys.executable, str(Path(__file__).with_name("program.py")))
AVCAP = f"{sys.executable} {REPOSITORY / 'cli.py'}"
TABLE = """RUNS := {place}/runs
DATA := {place}/data/info.json
SEEDS := 0 1
AXES := fusion ot
base_fusion := {place}/base.yaml
base_ot := {place}/base.yaml
SAME := ot/off=fusion/time
"""
OVERLAYS = {"fusion/time": "none", "fusion/cross": "none", "ot/off": "none"}


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
    (tmp_path / "ablation" / "tiny.mk").write_text(TABLE.format(place=tmp_path))
    (tmp_path / "installed").touch()
    for name, act in OVERLAYS.items():
        write_overlay(tmp_path, name, act)
    return tmp_path


def write_overlay(place: Path, name: str, act: str) -> Path:
    path = place / "ablation" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"act:\n  {act if ': ' in act else f'say: {act}'}\n")
    return path


def make_command(place: Path, *words: str) -> list[str]:
    settings = {"ABLATION": place / "ablation", "MATRIX": "tiny", "INSTALLED": place / "installed", "AVCAP": AVCAP}
    settings["LAUNCH"] = " ".join(PROGRAM)
    return ["make", "--no-print-directory", *(f"{name}={value}" for name, value in settings.items()), *words]


@pytest.fixture
def make(place: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Make on the tiny matrix."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            make_command(place, *words),
            cwd=REPOSITORY,
            env=without_make(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def without_make() -> dict[str, str]:
    """The environment without what a surrounding `make test` puts there."""
    return {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


def dry_run(*words: str) -> str:
    """What ``make -n`` prints in the root of the repository, lines that go on joined."""
    done = subprocess.run(
        ["make", "-n", *words],
        cwd=REPOSITORY,
        env=without_make(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.replace("\\\n", " ")


@pytest.fixture
def cell(place: Path) -> Cell:
    overlay = place / "ablation" / "fusion" / "time.yaml"
    return Cell(place / "base.yaml", overlay, 0, place / "runs" / "fusion" / "time" / "0", PROGRAM)
