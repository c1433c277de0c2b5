"""A cell is run once, goes on where it was stopped, and starts anew where its config has changed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from avcap.cli import main
from avcap.study.ablation import Cell, read_status, run_cell
from tests.study.ablation.conftest import PROGRAM, REPOSITORY, calls, verbs, write_overlay


def in_a_process(cell: Cell) -> subprocess.Popen:
    words = [str(cell.base), str(cell.overlay), str(cell.out), "--launch", " ".join(cell.launch)]
    program = [sys.executable, str(REPOSITORY / "cli.py"), "ablation", "cell"]
    return subprocess.Popen([*program, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(there, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_a_cell_is_fitted_then_tested(cell: Cell) -> None:
    status = run_cell(cell)
    assert (status.state, status.clips_per_second, status.error) == ("done", 40.0, None)
    fit, test = calls(cell.out)
    assert (fit["verb"], test["verb"]) == ("fit", "test")
    for words in (fit["words"], test["words"]):
        given = dict(pairwise(words))
        assert given["--seed_everything"] == given["--data.init_args.seed"] == "0"
        assert given["--trainer.default_root_dir"] == str(cell.out)
        assert [words[i + 1] for i, word in enumerate(words) if word == "--config"] == [
            str(cell.base),
            str(cell.overlay),
        ]
    assert dict(pairwise(fit["words"]))["--ckpt_path"] == "last"
    assert test["words"][-1] == str(cell.out / "checkpoints" / "best.ckpt")


def test_a_finished_cell_is_left_alone(cell: Cell) -> None:
    first = run_cell(cell)
    cell.overlay.touch()
    assert run_cell(cell) == first
    assert verbs(cell.out) == ["fit", "test"]


def test_a_cell_without_results_is_tested_again(cell: Cell) -> None:
    run_cell(cell)
    (cell.out / "results.json").unlink()
    assert run_cell(cell).state == "done"
    assert verbs(cell.out) == ["fit", "test", "test"]


def test_a_changed_config_starts_anew(cell: Cell) -> None:
    run_cell(cell)
    (cell.out / "checkpoints" / "last.ckpt").touch()
    cell.overlay.write_text("act:\n  say: other\n")
    assert run_cell(cell).state == "done"
    assert verbs(cell.out) == ["fit", "test"]  # of the second run: nothing of the first is left
    assert not (cell.out / "checkpoints" / "last.ckpt").exists()


def test_a_failed_test_does_not_cost_the_training(cell: Cell, place: Path) -> None:
    write_overlay(place, "fusion/time", "fail: test")
    status = run_cell(cell)
    assert (status.state, status.fitted, status.error) == ("failed", True, "avcap: error: test went wrong")
    assert run_cell(cell).state == "failed"
    assert verbs(cell.out) == ["fit", "test", "test"]


def test_a_failed_fit_is_not_tested(cell: Cell, place: Path) -> None:
    write_overlay(place, "fusion/time", "fail: fit")
    status = run_cell(cell)
    assert (status.state, status.fitted, status.error) == ("failed", False, "avcap: error: fit went wrong")
    assert verbs(cell.out) == ["fit"]


def test_a_killed_program_is_told_by_its_signal(cell: Cell) -> None:
    killed = replace(cell, launch=(sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"))
    status = run_cell(killed)
    assert status.state == "failed"
    assert status.error.startswith("killed by SIGKILL after: ")


def test_a_launcher_that_is_not_there_is_told(cell: Cell) -> None:
    status = run_cell(replace(cell, launch=("/no/such/srun",)))
    assert (status.state, status.error) == ("failed", "/no/such/srun cannot be run: No such file or directory")


def test_a_folder_of_something_else_is_not_touched(cell: Cell) -> None:
    cell.out.mkdir(parents=True)
    (cell.out / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match=r"thesis\.tex and no status\.json"):
        run_cell(cell)
    assert (cell.out / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_cell_goes_on(cell: Cell, place: Path, number: int) -> None:
    go = cell.out / "go"
    write_overlay(place, "fusion/time", "wait: go")
    process = in_a_process(cell)
    wait_for(lambda: verbs(cell.out) == ["fit"])
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "stopped" in said
    assert read_status(cell.out).state == "stopped"
    go.touch()
    assert run_cell(cell).state == "done"
    assert verbs(cell.out) == ["fit", "fit", "test"]


def test_two_processes_run_a_cell_once(cell: Cell, place: Path) -> None:
    go = cell.out / "go"
    write_overlay(place, "fusion/time", "wait: go")
    first = in_a_process(cell)
    wait_for(lambda: verbs(cell.out) == ["fit"])
    second = in_a_process(cell)
    time.sleep(1.0)
    assert second.poll() is None  # it waits
    go.touch()
    for process in (first, second):
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 0, said
    assert verbs(cell.out) == ["fit", "test"]


def test_a_killed_supervisor_leaves_no_second_run(cell: Cell, place: Path) -> None:
    """Its program lives on and holds the lock; the next process waits for the end of it."""
    go = cell.out / "go"
    write_overlay(place, "fusion/time", "wait: go")
    first = in_a_process(cell)
    wait_for(lambda: verbs(cell.out) == ["fit"])
    first.kill()
    first.stdout.close()
    first.wait()
    second = in_a_process(cell)
    time.sleep(1.0)
    assert verbs(cell.out) == ["fit"]
    go.touch()
    said, _ = second.communicate(timeout=30)
    assert second.returncode == 0, said
    assert verbs(cell.out) == ["fit", "fit", "test"]  # the second goes on from the checkpoint of the first


def test_the_verb_prints_one_line_and_fails_with_the_cell(
    cell: Cell, place: Path, capsys: pytest.CaptureFixture
) -> None:
    write_overlay(place, "fusion/time", "fail: fit")
    words = [str(cell.base), str(cell.overlay), str(cell.out), "--launch", " ".join(PROGRAM)]
    with pytest.raises(SystemExit, match="1"):
        main(["ablation", "cell", *words])
    assert capsys.readouterr().out == f"{cell.out}  failed  0.0 min: avcap: error: fit went wrong\n"
