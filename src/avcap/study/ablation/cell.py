"""One cell of the matrix: a training and a test of one config with one seed, in its own folder."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals
from socket import gethostname
from typing import Any

from avcap.study.ablation.status import LOG, RESULTS, STATUS, Status, last_line, read_status, write_status
from avcap.study.fingerprint import fingerprint
from avcap.study.signals import StopSignals

LOCK, SPEED = ".lock", "speed.json"
STOPPED = (128 + SIGINT, 128 + SIGTERM)
NOT_FOUND = 127  # as a shell says it
Launcher = Callable[["Cell"], int]  # runs a cell to its end -> exit status

trainings: set[int] = set()
"""Processes of the cells that run in this process."""


@dataclass(frozen=True)
class Cell:
    """A cell to run; call it to run it in this process.

    Attributes:
        base: The config of the axis.
        overlay: The config of the variant, laid over it.
        seed: Seed of weights, dropout, order of the clips and choice of captions.
        out: The folder of the cell.
        launch: Prefix of each command, such as ``srun --gres=gpu:1``.
    """

    base: Path
    overlay: Path
    seed: int
    out: Path
    launch: tuple[str, ...] = ()

    def __call__(self) -> int:
        """Fit from the last checkpoint, then test the best one; return the exit status of the first that fails, else 0."""
        status = read_status(self.out) or Status("running")
        if not status.fitted:
            code = self._run("fit", "last", "--trainer.callbacks+=avcap.callbacks.MeasureSpeed")
            if code:
                return code
            if _rank() == 0:
                write_status(self.out, replace(status, fitted=True, clips_per_second=_speed(self.out)))
        checkpoints = self.out / "checkpoints"
        best = checkpoints / "best.ckpt"
        return self._run("test", str(best if best.is_file() else checkpoints / "last.ckpt"))

    def command(self, verb: str, checkpoint: str, *more: str) -> list[str]:
        """Return the command line of ``avcap fit`` or ``avcap test``."""
        return [
            *self.launch,
            *(sys.executable, "-m", "avcap", verb),
            *("--config", str(self.base), "--config", str(self.overlay)),
            *("--seed_everything", str(self.seed), "--data.init_args.seed", str(self.seed)),
            *("--trainer.default_root_dir", str(self.out), "--trainer.enable_progress_bar", "false"),
            *("--ckpt_path", checkpoint, *more),
        ]

    def _run(self, verb: str, checkpoint: str, *more: str) -> int:
        words = self.command(verb, checkpoint, *more)
        log = self.out / (LOG if _rank() == 0 else f"log.{_rank()}.txt")
        with log.open("ab", buffering=0) as sink:
            sink.write(f"$ {' '.join(words)}\n".encode())
            # the lock goes to the child: while it lives, no other process starts on this cell
            try:
                process = subprocess.Popen(words, stdout=sink, stderr=subprocess.STDOUT, close_fds=False)
            except OSError as error:
                sink.write(f"{words[0]} cannot be run: {error.strerror}\n".encode())
                return NOT_FOUND
            trainings.add(process.pid)
            with process, StopSignals(lambda _: process.terminate()) as stop:
                code = process.wait()
            trainings.discard(process.pid)
        return 128 + stop.received if stop.received else code


def run_cell(cell: Cell, launcher: Launcher | None = None) -> Status:
    """Run a cell to its end, whatever its folder holds: a finished cell, a stopped one, one of another config, or nothing.

    A finished cell is left as it is; one that was stopped or has failed goes on from its last checkpoint; one that was
    made from other configs or data is deleted and starts anew. Another process at work on the cell is waited for.

    Args:
        cell: The cell.
        launcher: What runs it; None: this machine.

    Returns:
        Its status: done, failed or stopped.

    Raises:
        FileNotFoundError: if a config is not there.
        ValueError: if the folder holds something else.
    """
    mark = fingerprint([cell.base, cell.overlay], seed=cell.seed)
    cell.out.mkdir(parents=True, exist_ok=True)
    with _locked(cell.out):
        old = read_status(cell.out)
        if old is None or old.fingerprint != mark:
            _clear(cell.out, known=old is not None)
            old = Status("running", (str(cell.base), str(cell.overlay)), cell.seed, mark)
        elif (cell.out / RESULTS).is_file():
            return write_status(cell.out, replace(old, state="done", error=None))
        write_status(cell.out, replace(old, state="running", error=None, host=gethostname(), pid=os.getpid()))
        start = time.monotonic()
        code = (launcher or Cell.__call__)(cell)
        reached = read_status(cell.out) or old
        seconds = round(old.seconds + time.monotonic() - start, 1)
        if code not in (0, *STOPPED):
            (cell.out / RESULTS).unlink(missing_ok=True)  # where it stands, the cell is done
        return write_status(cell.out, replace(reached, seconds=seconds, **_outcome(code, cell.out)))


def _outcome(code: int, folder: Path) -> dict[str, Any]:
    """Return state and error of a cell that has ended."""
    if code in (0, *STOPPED) and (folder / RESULTS).is_file():
        return {"state": "done", "error": None}
    if code in STOPPED:
        return {"state": "stopped", "error": None}
    killed = f"killed by {Signals(-code).name} after: " if code < 0 else ""
    return {"state": "failed", "error": killed + last_line(folder / LOG)}


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder alone, for as long as this process or a child of it lives."""
    with (folder / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.set_inheritable(file.fileno(), True)
        yield


def _clear(folder: Path, *, known: bool) -> None:
    """Delete what an earlier config left."""
    found = [path for path in folder.iterdir() if path.name != LOCK]
    if found and not known:
        raise ValueError(f"{folder} holds {found[0].name} and no {STATUS}, so it is no cell; name another folder.")
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _rank() -> int:
    """Return the rank of this process in its job."""
    return int(os.environ.get("SLURM_PROCID", 0))


def _speed(folder: Path) -> float | None:
    path = folder / SPEED
    return json.loads(path.read_text(encoding="utf-8"))["clips_per_second"] if path.is_file() else None
