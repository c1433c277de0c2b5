"""A cell is run once, goes on where it was stopped, and starts anew where its config has changed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from avcap.cli import main
from avcap.study.ablation.cell import speed
from avcap.study.graph import Step
from avcap.study.runner import Runner
from tests.study.ablation.conftest import PROGRAM, REPOSITORY, calls, run_cell, verbs, write_overlay


def words(cell: Step) -> list[str]:
    return [*map(str, cell.configs), str(cell.makes.parent), "--launch", " ".join(PROGRAM)]


def in_a_process(cell: Step) -> subprocess.Popen:
    program = [sys.executable, str(REPOSITORY / "cli.py"), "ablation", "cell"]
    return subprocess.Popen([*program, *words(cell)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(there, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_a_cell_is_fitted_then_tested(cell: Step, folder: Path) -> None:
    assert run_cell(cell) == "done"
    assert speed(folder) == 40.0
    fit, test = calls(folder)
    assert (fit["verb"], test["verb"]) == ("fit", "test")
    for words in (fit["words"], test["words"]):
        given = dict(pairwise(words))
        assert given["--seed_everything"] == given["--data.init_args.seed"] == "0"
        assert given["--trainer.default_root_dir"] == str(folder)
        assert [words[i + 1] for i, word in enumerate(words) if word == "--config"] == [
            str(cell.configs[0]),
            str(cell.configs[1]),
        ]
    assert dict(pairwise(fit["words"]))["--ckpt_path"] == "last"
    assert test["words"][-1] == str(folder / "checkpoints" / "best.ckpt")


def test_a_finished_cell_is_left_alone(cell: Step, folder: Path) -> None:
    run_cell(cell)
    cell.configs[1].touch()
    assert run_cell(cell) == "done"
    assert verbs(folder) == ["fit", "test"]


def test_a_cell_without_results_is_tested_again(cell: Step, folder: Path) -> None:
    run_cell(cell)
    (folder / "results.json").unlink()
    assert run_cell(cell) == "done"
    assert verbs(folder) == ["fit", "test", "test"]


def test_a_changed_config_starts_anew(cell: Step, folder: Path) -> None:
    run_cell(cell)
    (folder / "checkpoints" / "last.ckpt").touch()
    cell.configs[1].write_text("act:\n  say: other\n")
    assert run_cell(cell) == "done"
    assert verbs(folder) == ["fit", "test"]  # of the second run: nothing of the first is left
    assert not (folder / "checkpoints" / "last.ckpt").exists()


def test_a_failed_test_does_not_cost_the_training(cell: Step, folder: Path, place: Path) -> None:
    write_overlay(place, "fusion/time", "fail: test")
    assert run_cell(cell) == "failed"
    assert cell.read().error == "avcap: error: test went wrong"
    assert run_cell(cell) == "failed"
    assert verbs(folder) == ["fit", "test", "test"]


def test_a_failed_fit_is_not_tested(cell: Step, folder: Path, place: Path) -> None:
    write_overlay(place, "fusion/time", "fail: fit")
    assert run_cell(cell) == "failed"
    assert cell.read().error == "avcap: error: fit went wrong"
    assert verbs(folder) == ["fit"]


def test_a_killed_program_is_told_by_its_signal(cell: Step, folder: Path) -> None:
    suicide = (sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")
    assert run_cell(cell, Runner(str, launch=suicide)) == "failed"
    assert cell.read().error.startswith("killed by SIGKILL after: ")


def test_a_launcher_that_is_not_there_is_told(cell: Step, folder: Path) -> None:
    assert run_cell(cell, Runner(str, launch=("/no/such/srun",))) == "failed"
    assert cell.read().error.endswith("No such file or directory: '/no/such/srun'")


def test_a_folder_of_something_else_is_not_touched(cell: Step, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match=r"thesis\.tex and no \.results\.json\.made, so it is no cell"):
        cell.make(Runner(str))
    assert (folder / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_cell_goes_on(cell: Step, folder: Path, place: Path, number: int) -> None:
    go = folder / "go"
    write_overlay(place, "fusion/time", "wait: go")
    process = in_a_process(cell)
    wait_for(lambda: verbs(folder) == ["fit"])
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "Stopped; the same command goes on." in said
    assert cell.state() == "stopped"
    go.touch()
    assert run_cell(cell) == "done"
    assert verbs(folder) == ["fit", "fit", "test"]


def test_two_processes_run_a_cell_once(cell: Step, folder: Path, place: Path) -> None:
    go = folder / "go"
    write_overlay(place, "fusion/time", "wait: go")
    first = in_a_process(cell)
    wait_for(lambda: verbs(folder) == ["fit"])
    second = in_a_process(cell)
    time.sleep(1.0)
    assert second.poll() is None  # it waits
    go.touch()
    for process in (first, second):
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 0, said
    assert verbs(folder) == ["fit", "test"]


def test_a_killed_supervisor_leaves_no_second_run(cell: Step, folder: Path, place: Path) -> None:
    """Its program lives on and holds the lock; the next process waits for the end of it."""
    go = folder / "go"
    write_overlay(place, "fusion/time", "wait: go")
    first = in_a_process(cell)
    wait_for(lambda: verbs(folder) == ["fit"])
    first.kill()
    first.stdout.close()
    first.wait()
    second = in_a_process(cell)
    time.sleep(1.0)
    assert verbs(folder) == ["fit"]
    go.touch()
    said, _ = second.communicate(timeout=30)
    assert second.returncode == 0, said
    assert verbs(folder) == ["fit", "fit", "test"]  # the second goes on from the checkpoint of the first


def test_the_verb_tells_the_state_and_fails_with_the_cell(
    cell: Step, folder: Path, place: Path, capsys: pytest.CaptureFixture
) -> None:
    write_overlay(place, "fusion/time", "fail: fit")
    with pytest.raises(SystemExit, match="1"):
        main(["ablation", "cell", *words(cell)])
    said = capsys.readouterr().out
    assert f"{folder} failed: avcap: error: fit went wrong\n  the whole log: {folder / 'log.txt'}" in said
    assert said.endswith("1 failed\n")
    write_overlay(place, "fusion/time", "none")
    main(["ablation", "cell", *words(cell)])
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[1:] for line in said if line.startswith(f"{folder} ")] == [["done", "0.0", "40", "50.0"]]
    assert said[-1] == "1 done"


def test_a_finished_cell_grows_stale_with_its_configs(cell: Step) -> None:
    run_cell(cell)
    cell.configs[1].write_text("act:\n  say: more\n")
    assert cell.state() == "stale"


def test_while_a_cell_runs_it_is_running(cell: Step, folder: Path, place: Path) -> None:
    write_overlay(place, "fusion/time", "wait: go")
    process = in_a_process(cell)
    wait_for(lambda: verbs(folder) == ["fit"])
    assert cell.state() == "running"
    (folder / "go").touch()
    process.communicate(timeout=30)
    assert cell.state() == "done"
