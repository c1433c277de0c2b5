"""Drills of small programs: one that keeps its work, and others that lose it in one way each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from avcap.drill.compare import (
    checkpoints_that_differ,
    files_that_differ,
    shards_done_again,
    steps_done_again,
    steps_that_differ,
)
from avcap.drill.rounds import Drill, DrillReport, run_drill

COUNTER = """
import pathlib, subprocess, sys, time
file, kind = pathlib.Path(sys.argv[1], "file"), sys.argv[2]
lines = file.read_text().splitlines() if file.exists() else []
if kind == "torn" and lines and len(lines) < 10:
    lines = lines[:-1] + [lines[-1] + "?"]
if kind == "grows" and len(lines) >= 10:
    lines.append("more")
if kind == "fails" and lines:
    sys.exit("no way to go on")
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) if kind == "orphan" else None
while True:
    fresh = file.with_name("fresh")
    fresh.write_text("".join(line + "\\n" for line in lines))
    fresh.replace(file)
    if len(lines) >= 10:
        break
    time.sleep(0.05)
    lines.append(str(len(lines)))
if child:
    child.kill()
"""


@pytest.fixture
def drilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Drill the program above as one of its kinds."""
    script = tmp_path / "counter.py"
    script.write_text(COUNTER)
    monkeypatch.setattr("avcap.drill.rounds.DYING", 0.5)

    def run(kind: str, *, stops: int = 6, seed: int = 1, places: tuple[str, ...] = ("work",)) -> DrillReport:
        drill = Drill(
            "counter", lambda folder: [sys.executable, str(script), str(folder), kind], files_that_differ, places
        )
        return run_drill(drill, tmp_path / "rounds", stops=stops, seed=seed, tell=lambda _: None)

    return run


def test_a_program_that_keeps_its_work_passes(drilled):
    report = drilled("honest", places=("start", "work", "a write"))
    assert report.ok, report.faults
    assert report.stops.total() == 6
    assert report.continued >= 3
    assert report.rounds >= 1


@pytest.mark.parametrize(
    ("kind", "fault"), [("torn", "has other bytes"), ("fails", "no way to go on"), ("grows", "has other bytes")]
)
def test_a_program_that_loses_something_fails(drilled, kind: str, fault: str):
    report = drilled(kind)
    assert not report.ok
    assert fault in report.faults[0]


def test_what_outlives_its_command_is_counted_and_ended(drilled):
    report = drilled("orphan", stops=8)
    assert report.alive > 0
    assert not report.ok


def test_a_drill_without_a_kill_is_refused(drilled):
    with pytest.raises(ValueError, match="1 kill or more, got 0"):
        drilled("honest", stops=0)


def test_a_command_that_fails_undisturbed_is_told(tmp_path: Path):
    drill = Drill("x", lambda _: [sys.executable, "-c", "raise SystemExit('not today')"], files_that_differ)
    with pytest.raises(ValueError, match="not today"):
        run_drill(drill, tmp_path, stops=1, seed=0, tell=lambda _: None)


def record(folder: Path, steps: list[tuple[int, float]]) -> Path:
    folder.mkdir()
    rows = [{"epoch": 0, "step": step, "kind": "train", "id": ["a"], "value": value} for step, value in steps]
    (folder / "0.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_steps_may_be_done_again_but_not_otherwise(tmp_path: Path):
    whole = record(tmp_path / "whole", [(1, 0.1), (2, 0.2), (3, 0.3)])
    again = record(tmp_path / "again", [(1, 0.1), (2, 0.2), (1, 0.1), (2, 0.2), (3, 0.3)])
    assert list(steps_that_differ(whole, again)) == []
    assert steps_done_again(again) == 2
    other = record(tmp_path / "other", [(1, 0.1), (2, 0.25), (4, 0.4)])
    said = list(steps_that_differ(whole, other))
    assert [("step 2" in said[0], "0.25" in said[0]), "step 4" in said[1], "step 3" in said[2]] == [
        (True, True),
        True,
        True,
    ]


def test_checkpoints_are_compared_by_content_not_by_bytes(tmp_path: Path):
    import torch

    for name, weight in (("one", 1.0), ("two", 1.0), ("three", 2.0)):
        (tmp_path / name).mkdir()
        content = {"path": f"{tmp_path / name}/best.ckpt", "state": {"w": torch.full((2,), weight)}, "steps": [1, 2]}
        torch.save(content, tmp_path / name / "last.ckpt")
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))

    def differences(other: Path) -> list[str]:
        return list(checkpoints_that_differ(one / "last.ckpt", other / "last.ckpt", roots=(one, other)))

    assert differences(two) == []
    assert ["state.w" in line for line in differences(three)] == [True]
    (three / "last.ckpt").unlink()
    assert "is not there" in differences(three)[0]


def test_a_whole_shard_that_is_written_anew_counts(tmp_path: Path):
    partial, final = (str(tmp_path / name / "chunk-0-0.bin") for name in ("train.partial", "train"))
    halves = [{partial: (1, 50, 7)}, {final: (2, 100, 8)}]
    assert shards_done_again(tmp_path, halves) == 0
    moved = [{partial: (1, 100, 7)}, {final: (1, 100, 7)}]
    assert shards_done_again(tmp_path, moved) == 0
    anew = [{partial: (1, 100, 7)}, {final: (2, 100, 8)}]
    assert shards_done_again(tmp_path, anew) == 1
