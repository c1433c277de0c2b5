"""Cells as jobs of submitit, here with its executor for processes of this machine."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from avcap.study.ablation import Cell, run_cell
from avcap.study.ablation.launch import ClusterJob, Resumable, read_settings
from tests.study.ablation.conftest import verbs, write_overlay

pytest.importorskip("submitit", reason="the extra `slurm` is not installed")


class Breaking(Cell):
    """A cell whose job ends in an exception."""

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell.base, cell.overlay, cell.seed, cell.out)

    def __call__(self) -> int:
        raise RuntimeError("out of order")


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


def test_a_cell_runs_as_a_job(cell: Cell) -> None:
    status = run_cell(cell, ClusterJob({"cluster": "local", "timeout_min": 5}))
    assert status.state == "done"
    assert (status.fitted, status.clips_per_second) == (True, 40.0)
    assert verbs(cell.out) == ["fit", "test"]
    assert list((cell.out / "jobs").iterdir())


def test_a_job_that_fails_is_a_failed_cell(cell: Cell, place) -> None:
    write_overlay(place, "fusion/time", "fail: test")
    status = run_cell(cell, ClusterJob({"cluster": "local", "timeout_min": 5}))
    assert (status.state, status.error) == ("failed", "avcap: error: test went wrong")


def test_a_job_that_breaks_is_a_failed_cell(cell: Cell) -> None:
    job = ClusterJob({"cluster": "local", "timeout_min": 5})
    status = run_cell(cell, lambda c: job(Breaking(c)))
    assert status.state == "failed"
    assert status.error.endswith(f"its own log is in {cell.out / 'jobs'}.")
    assert "out of order" in (cell.out / "log.txt").read_text()


def test_a_job_out_of_time_saves_before_it_is_queued_again(cell: Cell, place) -> None:
    write_overlay(place, "fusion/time", "wait: go")
    delayed, ended = [], []

    def run() -> None:
        deadline = time.monotonic() + 30
        while not verbs(cell.out) and time.monotonic() < deadline:
            time.sleep(0.02)
        delayed.append(Resumable(cell).checkpoint())  # what the job's signal handler calls
        ended.append(time.monotonic())

    cell.out.mkdir(parents=True)
    thread = threading.Thread(target=run)
    with subprocess.Popen(["sleep", "60"]) as other:  # a child that is no training is not waited for
        thread.start()
        assert cell() == 128 + 15
        thread.join(timeout=30)
        other.kill()
    assert isinstance(delayed[0].function, Resumable)
    assert delayed[0].function.cell == cell
    assert verbs(cell.out) == ["fit"]


def test_without_submitit_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ImportError, match=r"avcap\[slurm\]"):
        ClusterJob({})
