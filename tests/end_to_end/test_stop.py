"""A run that a scheduler stops: saved, told, and taken up with the batches that it would have seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

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


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("train", 11), ("val", 1)], ids=["in mid-epoch", "in validation"])
def test_a_stopped_run_goes_on_with_the_next_batch(
    demo_root: Path, tmp_path: Path, whole: list[dict], kind: str, count: int
):
    log, run = tmp_path / "stopped", tmp_path / "run"
    process = subprocess.Popen(
        command(*fit(demo_root, run, log, rest=0.2)),
        cwd=REPOSITORY,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while len(seen(log, kind)) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)  # the whole group, the loader's workers too: schedulers do that
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, said
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
