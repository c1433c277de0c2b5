"""A run that a scheduler stops: saved, told, and taken up with the batches that it would have seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from avcap.cli import main
from tests.end_to_end.program import ENVIRONMENT, REPOSITORY, command, options


def seen(log: Path, kind: str = "train") -> list[dict]:
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [row for row in rows if row["kind"] == kind]


def fit(demo_root: Path, run: Path, log: Path, *more: str, rest: float = 0.0) -> list[str]:
    callback = ("--trainer.callbacks+=tests.end_to_end.log_ids.LogIds", f"--trainer.callbacks.path={log}")
    wait = f"--trainer.callbacks.rest={rest}"
    quick = ("--trainer.max_epochs", "3", "--trainer.logger", "false", "--trainer.limit_val_batches", "2")
    return ["fit", *options(demo_root, run, *quick, *callback, wait, *more)]


@pytest.fixture(scope="module")
def whole(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What a run of three epochs sees when nothing stops it."""
    folder = tmp_path_factory.mktemp("whole")
    main(fit(demo_root, folder / "run", folder / "log"))
    return seen(folder / "log")


def stop_all(words: list[str], log: Path, kind: str, count: int) -> tuple[int, str]:
    """Start a run, send SIGTERM to its whole group after some batches as schedulers do, and return its status and stderr.

    When it has ended, no process of the group is left.
    """
    process = subprocess.Popen(
        command(*words),
        cwd=REPOSITORY,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 240
    while len(seen(log, kind)) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return process.returncode, said
        time.sleep(0.1)
    pytest.fail("A process is left.")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("train", 11), ("val", 1)], ids=["in mid-epoch", "in validation"])
def test_a_stopped_run_goes_on_with_the_next_batch(
    demo_root: Path, tmp_path: Path, whole: list[dict], kind: str, count: int
):
    log, run = tmp_path / "stopped", tmp_path / "run"
    status, said = stop_all(fit(demo_root, run, log, rest=0.2), log, kind, count)
    assert status == 128 + signal.SIGTERM, said
    assert f"{run / 'checkpoints' / 'last.ckpt'}" in said
    assert "Traceback" not in said
    before = seen(log)
    assert 0 < len(before) < len(whole)
    main(fit(demo_root, run, tmp_path / "resumed", "--ckpt_path", "last"))
    after = seen(tmp_path / "resumed")
    ids = [row["id"] for row in [*before, *after]]
    assert ids == [row["id"] for row in whole]
    assert [row["epoch"] for row in [*before, *after]] == [row["epoch"] for row in whole]
    assert [row["step"] for row in [*before, *after]] == list(range(len(whole)))
    if kind == "val":  # it is repeated from its first batch
        validated = seen(log, "val")
        repeated = seen(tmp_path / "resumed", "val")
        assert len(validated) == 1
        assert [row["epoch"] for row in repeated] == [0, 0, 1, 1, 2, 2]
        assert repeated[0] == validated[0]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("train", 5), ("val", 1)], ids=["in mid-epoch", "in validation"])
def test_two_processes_stop_after_the_same_step(demo_root: Path, tmp_path: Path, kind: str, count: int):
    log, run = tmp_path / "log", tmp_path / "run"
    two = ("--trainer.devices", "2", "--trainer.accelerator", "cpu", "--trainer.strategy", "ddp")
    status, said = stop_all(fit(demo_root, run, log, *two, rest=0.2), log, kind, count)
    assert status == 128 + signal.SIGTERM, said
    assert "Traceback" not in said
    trained = [row["step"] for row in seen(log)]
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert sorted(trained) == sorted([*range(saved), *range(saved)])  # a line of each process for each step
    assert saved == 4 if kind == "val" else 0 < saved < 12


@pytest.mark.slow
def test_a_second_ctrl_c_ends_a_run_at_once(demo_root: Path, tmp_path: Path):
    log = tmp_path / "log"
    process = subprocess.Popen(
        command(*fit(demo_root, tmp_path / "run", log, rest=60.0)),
        cwd=REPOSITORY,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not seen(log) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert any("press Ctrl-C again" in line for line in iter(process.stderr.readline, ""))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=50)  # the first batch alone takes 60 s
    finally:
        process.kill()
    assert process.returncode not in (0, None)
    assert "Traceback" not in said
    assert not list((tmp_path / "run").rglob("*.ckpt"))
