"""What `avcap ablation status` reads."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from avcap.cli import main
from avcap.study.ablation import Cell, Status, read_status, run_cell, write_status
from avcap.study.ablation.status import last_line, look_up
from tests.study.ablation.conftest import verbs, write_overlay


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_status_comes_back_as_it_was_written(tmp_path: Path) -> None:
    status = Status("failed", ("a.yaml", "b.yaml"), 3, "0123", True, 12.5, 40.0, "it went wrong")
    write_status(tmp_path, status)
    assert read_status(tmp_path) == status


def test_a_damaged_status_is_named(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text('{"state": ')
    with pytest.raises(ValueError, match=r"status\.json is damaged"):
        read_status(tmp_path)


def test_a_dead_process_does_not_run(tmp_path: Path) -> None:
    write_status(tmp_path, Status("running"))
    assert look_up(tmp_path).state == "running"  # this process
    write_status(tmp_path, Status("running", pid=dead_process()))
    assert look_up(tmp_path).state == "stopped"
    write_status(tmp_path, Status("running", pid=dead_process(), host="elsewhere"))
    assert look_up(tmp_path).state == "running"  # nobody here can tell


def test_a_process_that_died_after_the_results_had_finished(cell: Cell) -> None:
    done = run_cell(cell)
    write_status(cell.out, replace(done, state="running", pid=dead_process()))
    assert look_up(cell.out).state == "done"
    assert run_cell(cell).state == "done"
    assert verbs(cell.out) == ["fit", "test"]


def test_a_finished_cell_grows_stale_with_its_configs(cell: Cell) -> None:
    run_cell(cell)
    assert look_up(cell.out).state == "done"
    cell.overlay.write_text("act:\n  say: more\n")
    assert look_up(cell.out).state == "stale"
    cell.overlay.unlink()
    assert look_up(cell.out).state == "stale"


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("one\ntwo\n\n", "two"),
        ("\x1b[31merror: red\x1b[0m\n", "error: red"),
        ("epoch 1\repoch 2\n", "epoch 2"),
        ("avcap: error: no such class\ntip: --help lists them\n", "avcap: error: no such class"),
        ("x" * 400, "x" * 297 + "..."),
        ("", "no word in the log"),
    ],
)
def test_the_last_line_of_a_log(tmp_path: Path, log: str, line: str) -> None:
    (tmp_path / "log.txt").write_text(log)
    assert last_line(tmp_path / "log.txt") == line


def test_the_table_tells_every_state_and_why(cell: Cell, place: Path, capsys: pytest.CaptureFixture) -> None:
    overlay = write_overlay(place, "fusion/cross", "fail: test")
    bad = replace(cell, overlay=overlay, out=place / "runs" / "fusion" / "cross" / "0")
    run_cell(cell)
    run_cell(bad)
    missing = place / "runs" / "ot" / "off" / "0"
    with pytest.raises(SystemExit, match="1"):
        main(["ablation", "status", str(place / "runs" / "fusion"), str(place / "runs"), str(missing)])
    said = capsys.readouterr().out
    rows = {
        line.split("runs/")[1].split()[0]: line.split()[1:]
        for line in said.splitlines()
        if "  " in line and "runs/" in line
    }
    assert rows["fusion/time/0"] == ["done", "0.0", "40", "50.0"]
    assert rows["fusion/cross/0"][0] == "failed"
    assert rows["ot/off/0"] == ["not", "started", "0.0"]
    assert f"{bad.out} failed: avcap: error: test went wrong" in said
    assert str(bad.out / "log.txt") in said
    assert said.endswith("1 done, 1 failed, 1 not started\n")


def test_all_done_is_a_success(cell: Cell, place: Path, capsys: pytest.CaptureFixture) -> None:
    run_cell(cell)
    main(["ablation", "status", str(place / "runs")])
    assert capsys.readouterr().out.endswith("1 done\n")
