"""Two processes on CPUs (gloo) by the real program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.program import options, program

TWO = ("--trainer.devices", "2", "--trainer.accelerator", "cpu", "--trainer.strategy", "ddp")
QUICK = ("--trainer.max_epochs", "1", "--trainer.limit_val_batches", "1", "--trainer.logger", "false")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_train_where_one_of_them_sees_no_pictures(demo_root: Path, tmp_path: Path):
    """Without a gradient for the idle encoder, DDP raises in the second step, or waits forever."""
    blind = ("--data", "tests.end_to_end.missing_stream.BlindRank", "--data.init_args.batch_size", "4")
    log = ("--trainer.callbacks+=tests.end_to_end.log_ids.LogIds", f"--trainer.callbacks.path={tmp_path / 'log'}")
    done = program("fit", *options(demo_root, tmp_path / "run", *TWO, *QUICK, *log, *blind))
    assert done.returncode == 0, done.stderr[-3000:]
    trained = [row for row in lines(tmp_path / "log") if row["kind"] == "train"]
    assert len(trained) == 2 * 32 // (2 * 4)  # a line for each process and step
    ids = [clip for row in trained for clip in row["id"]]
    assert len(set(ids)) == len(ids) == 32


@pytest.mark.slow
def test_two_processes_score_every_clip_once_and_as_one_process_does(demo_root: Path, tiny_run: Path, tmp_path: Path):
    """Nine clips do not divide by two: one process has a clip more."""
    checkpoint = ("--ckpt_path", str(tiny_run / "checkpoints" / "last.ckpt"))
    done = program("test", *options(demo_root, tmp_path, *TWO, "--trainer.logger", "false", *checkpoint))
    assert done.returncode == 0, done.stderr[-3000:]
    two, one = (json.loads((folder / "results.json").read_text()) for folder in (tmp_path, tiny_run))
    assert two["clips"] == 9
    assert two["id_hash"] == one["id_hash"]
    assert two["scores"] == pytest.approx(one["scores"], abs=1e-9)
    by_one = {row["id"]: row for row in lines(tiny_run / "predictions.jsonl")}
    by_two = lines(tmp_path / "predictions.jsonl")
    assert len(by_two) == 9
    assert {row["id"]: row for row in by_two} == by_one
