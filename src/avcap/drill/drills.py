"""The three drills: preparing shards, training, and training by two processes that a scheduler stops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from signal import SIGTERM

from avcap.drill.compare import (
    checkpoints_that_differ,
    files_that_differ,
    shards_done_again,
    steps_done_again,
    steps_that_differ,
)
from avcap.drill.material import AVCAP, fit_command, make_clips, make_shards
from avcap.drill.moments import state
from avcap.drill.rounds import Drill

EVERY = 3  # training steps from one last.ckpt to the next
WORKERS = 2  # processes that each have a shard in hand
TWO = ("--trainer.devices", "2", "--trainer.strategy", "ddp", "--data.init_args.batch_size", "2")


def drill_of_prepare(folder: Path) -> Drill:
    """Return the drill of `avcap data prepare`: all files of the shards must have the same bytes.

    Args:
        folder: Where its data set is made.
    """
    data = make_clips(folder / "data", train=96)

    def command(out: Path) -> list[str]:
        sizes = ("--frames", "4", "--size", "96", "--clips_per_shard", "4", "--num_workers", str(WORKERS))
        return [*AVCAP, "data", "prepare", str(data), "--out", str(out / "shards"), *sizes, "--progress", "false"]

    def differences(whole: Path, other: Path) -> Iterator[str]:
        yield from files_that_differ(whole / "shards", other / "shards")

    return Drill(
        "prepare",
        command,
        differences,
        places=("start", "work", "work", "a write"),
        seen=lambda _, out: state(out),
        unit="shards",
        again=lambda out, states: shards_done_again(out / "shards", states),
        at_most=WORKERS,
    )


def drill_of_train(folder: Path) -> Drill:
    """Return the drill of `avcap fit`: weights, optimiser, place in the data, losses and scores must be the same.

    Args:
        folder: Where its data set is made.
    """
    data = make_shards(folder / "data")
    every = ("--last.every_n_steps", str(EVERY))
    return Drill(
        "train",
        lambda out: fit_command(data, out, *every),
        _runs_that_differ,
        places=("start", "work", "work", "a checkpoint", "a checkpoint"),
        seen=lambda _, out: state(out / "run" / "checkpoints"),
        again=lambda out, _: steps_done_again(out / "steps"),
        at_most=EVERY,
    )


def drill_of_resume(folder: Path) -> Drill:
    """Return the drill of two processes that SIGTERM stops, in training and in validation: no step may be done again.

    Args:
        folder: Where its data set is made.
    """
    data = make_shards(folder / "data")
    return Drill(
        "resume",
        lambda out: fit_command(data, out, *TWO),
        _runs_that_differ,
        places=("work", "training", "validation"),
        seen=_lines,
        signal=SIGTERM,
        statuses=(128 + SIGTERM, -SIGTERM),  # the second where all is done, or nothing was begun
        again=lambda out, _: steps_done_again(out / "steps"),
    )


def _runs_that_differ(whole: Path, other: Path) -> Iterator[str]:
    yield from steps_that_differ(whole / "steps", other / "steps")
    for name in ("last.ckpt", "best.ckpt"):
        files = (folder / "run" / "checkpoints" / name for folder in (whole, other))
        yield from checkpoints_that_differ(*files, roots=(whole, other))


def _lines(place: str, folder: Path) -> int:
    """Count what the first process wrote of its training steps or of its validation batches."""
    path = folder / "steps" / "0.jsonl"
    kind = '"kind": "val"' if place == "validation" else '"kind": "train"'
    return path.read_text(encoding="utf-8").count(kind) if path.is_file() else 0


DRILLS = {"prepare": drill_of_prepare, "train": drill_of_train, "resume": drill_of_resume}
