"""Cells as jobs of submitit, here with its executor for processes of this machine."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from avcap.study.ablation.cell import speed
from avcap.study.ablation.launch import ClusterRunner, Resumable, read_settings
from avcap.study.graph import Step
from tests.study.ablation.conftest import PROGRAM, run_cell, verbs, write_overlay

pytest.importorskip("submitit", reason="the extra `slurm` is not installed")


def cluster(*launch: str) -> ClusterRunner:
    return ClusterRunner({"cluster": "local", "timeout_min": 5}, str, launch or PROGRAM)


def test_settings_are_words_read_as_yaml() -> None:
    text = "gpus_per_node=1 slurm_partition=gpu slurm_additional_parameters={qos: long}".replace(": ", ":")
    assert read_settings(text)["gpus_per_node"] == 1
    assert read_settings("cluster=local timeout_min=5 slurm_exclusive=true") == {
        "cluster": "local",
        "timeout_min": 5,
        "slurm_exclusive": True,
    }
    with pytest.raises(ValueError, match="'gpu' is no setting"):
        read_settings("gpu timeout_min=5")


def test_the_commands_of_a_cell_run_as_jobs(cell: Step, folder: Path) -> None:
    assert run_cell(cell, cluster()) == "done"
    assert speed(folder) == 40.0
    assert verbs(folder) == ["fit", "test"]
    assert list((folder / "jobs").iterdir())


def test_a_job_that_fails_is_a_failed_cell(cell: Step, place: Path) -> None:
    write_overlay(place, "fusion/time", "fail: test")
    assert run_cell(cell, cluster()) == "failed"
    assert cell.read().error == "avcap: error: test went wrong"


def test_a_job_that_breaks_is_a_failed_cell(cell: Step, folder: Path) -> None:
    assert run_cell(cell, cluster("/no/such/program")) == "failed"
    assert cell.read().error.endswith(f"its own log is in {folder / 'jobs'}.")
    assert "FileNotFoundError" in (folder / "log.txt").read_text()


def test_a_stopped_run_cancels_its_job(cell: Step, folder: Path, place: Path) -> None:
    write_overlay(place, "fusion/time", "wait: go")
    runner = cluster()

    def stop() -> None:
        deadline = time.monotonic() + 30
        while not verbs(folder) and time.monotonic() < deadline:
            time.sleep(0.02)
        runner.stop(15)

    thread = threading.Thread(target=stop)
    thread.start()
    assert run_cell(cell, runner) == "stopped"
    thread.join(30)


def test_a_job_out_of_time_saves_before_it_is_queued_again(cell: Step, folder: Path, place: Path) -> None:
    write_overlay(place, "fusion/time", "wait: go")
    folder.mkdir(parents=True)
    job = Resumable([*PROGRAM, "avcap", *cell.commands[0][1:]], folder / "log.txt")
    delayed = []

    def run() -> None:
        deadline = time.monotonic() + 30
        while not verbs(folder) and time.monotonic() < deadline:
            time.sleep(0.02)
        delayed.append(job.checkpoint())  # what the job's signal handler calls

    thread = threading.Thread(target=run)
    with subprocess.Popen(["sleep", "60"]) as other:  # a child that is no training is not waited for
        thread.start()
        assert job() == 128 + 15
        thread.join(timeout=30)
        other.kill()
    assert delayed[0].function.words == job.words
    assert verbs(folder) == ["fit"]


def test_without_submitit_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ImportError, match=r"avcap\[slurm\]"):
        ClusterRunner({}, str)
