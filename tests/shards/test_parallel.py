"""Clips that crash, hang or grow cost themselves only, and workers never outlive the process that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from avcap.shards.item import Item
from avcap.shards.parallel import Job, Limits, run_jobs
from avcap.shards.reader import ShardInfo, Shards
from avcap.shards.writer import write_split


def _write(out: Path, make, count: int = 10, **settings):
    info = ShardInfo("train", frames=1, size=8, clips=count, plan="x")
    return write_split(out, info, range(count), make, **{"clips_per_shard": 4, "progress": False, **settings}).info


def _item(k: int) -> Item:
    return Item(f"clip{k}", [f"caption {k}"], frames=torch.full((1, 3, 8, 8), k, dtype=torch.uint8))


def _bad(k: int) -> Item:
    """Clips 1, 2, 5 and 9 end or keep the process in four ways."""
    if k == 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    if k == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if k == 5:
        time.sleep(300)
    if k == 9:
        os._exit(0)
    return _item(k)


def test_clips_at_fault_are_named_and_the_others_are_made(tmp_path: Path) -> None:
    info = _write(tmp_path / "bad", _bad, limits=Limits(seconds=3))
    assert info.ids == [f"clip{k}" for k in (0, 3, 4, 6, 7, 8)]
    reasons = {broken["id"]: broken["reason"] for broken in info.broken}
    assert list(reasons) == ["1", "2", "5", "9"]
    assert reasons["1"] == "clip 1 made the decoder crash (signal 11: Segmentation fault)."
    assert "killed (signal 9), which the system does when memory runs out" in reasons["2"]
    assert "clip 5 took longer than 3 s (--clip_seconds)" in reasons["5"]
    assert "exit status 0" in reasons["9"]
    shards = Shards(tmp_path / "bad" / "train")
    assert [int(shards.item(k).frames[0, 0, 0, 0]) for k in range(6)] == [0, 3, 4, 6, 7, 8]


def _greedy(k: int) -> Item:
    """Clip 1 takes memory until it is stopped."""
    hoard: list[np.ndarray] = []
    while k == 1:
        hoard.append(np.ones(2**20))  # 8 MiB
    return _item(k)


def test_a_clip_that_needs_too_much_memory_is_named(tmp_path: Path) -> None:
    limit = round(psutil.Process().memory_info().rss / 2**30 + 0.1, 2)
    info = _write(tmp_path, _greedy, count=3, limits=Limits(gibibytes=limit))
    assert info.ids == ["clip0", "clip2"]
    assert info.broken[0]["reason"] == f"clip 1 needed more than {limit:g} GiB of memory (--clip_memory)."


def _dies_once(k: int) -> Item:
    marker = Path(os.environ["AVCAP_TEST_MARKER"])
    if k == 5 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return _item(k)


def test_a_worker_that_another_killed_costs_no_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVCAP_TEST_MARKER", str(tmp_path / "marker"))
    info = _write(tmp_path, _dies_once, num_workers=1)
    assert (tmp_path / "marker").exists()
    assert len(info.ids) == 10
    assert info.broken == []


@dataclass(frozen=True)
class _Plain(Job):
    """A job of which no clip can be blamed."""

    @property
    def clips(self) -> int:
        return 1


def _crash(job: Job) -> Iterator[None]:
    yield None
    os.abort()


def _refuse(job: Job) -> None:
    raise ValueError(f"no {job.number}")


class _TwoPartError(Exception):
    """An error that pickle cannot make again."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")


def _refuse_oddly(job: Job) -> None:
    raise _TwoPartError("this", "that")


def test_a_job_that_cannot_go_on_ends_in_a_sentence(tmp_path: Path) -> None:
    settings = {"title": "x", "num_workers": 2, "progress": False}
    with pytest.raises(ChildProcessError, match=r"Part 0 of .* made the decoder crash \(signal 6: Aborted\)"):
        run_jobs([_Plain(tmp_path, 0)], _crash, **settings)
    with pytest.raises(ValueError, match="no 0"):
        run_jobs([_Plain(tmp_path, 0)], _refuse, **settings)
    with pytest.raises(RuntimeError, match="_TwoPartError: this and that"):
        run_jobs([_Plain(tmp_path, 0)], _refuse_oddly, **settings)


def test_limits_are_checked() -> None:
    with pytest.raises(ValueError, match="clip_seconds must be positive, got 0"):
        Limits(seconds=0)
    with pytest.raises(ValueError, match="clip_memory must be positive, got nan"):
        Limits(gibibytes=float("nan"))


SLOW = """
import os, signal, sys, time
from pathlib import Path
from avcap.shards.writer import write_split
from avcap.shards.reader import ShardInfo
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits a deaf one
def make(k):
    os.write(1, b"working\\n")  # in one piece, whoever else writes
    time.sleep(300)
info = ShardInfo("train", frames=1, size=8, plan="x")
write_split(Path(sys.argv[1]), info, range(8), make, clips_per_shard=1, num_workers=2, progress=False)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_parent(tmp_path: Path, how: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == [b"working\n"] * 2
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) == 2
    process.send_signal(how)
    process.wait(20)
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []
