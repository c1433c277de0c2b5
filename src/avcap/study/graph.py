"""A graph of files: commands make each file from others; files that are up to date are kept.

Steps stand in the order in which they are wanted, a whole row of a table before the next. The first step in that order
whose files are there is the next to run, so that rows come early however many jobs run at once (depth first).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, TextIO

from avcap.atomic import write_atomically
from avcap.study.fingerprint import contents, fingerprint
from avcap.study.runner import Command, Runner, StopSignals

State = Literal["running", "stopped", "failed", "done", "stale", "not started"]
WAIT = 0.2  # seconds between two tries to lock


@dataclass(frozen=True)
class Making:
    """What is known of the making of a file: ``.<name>.made`` beside it.

    Attributes:
        mark: The hash of all that it is made from.
        ended: How many of its commands have ended well.
        seconds: Wall time so far, over all starts.
        error: Why the last start failed; None: it did not, or was stopped.
    """

    mark: str
    ended: int = 0
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True)
class Step:
    """One file and the commands that make it.

    While the commands run, a lock beside the file is held, also by them, so that no other process makes the same file.

    Attributes:
        makes: The file; it is right when, and only when, the commands have ended well.
        commands: Run one after another, the last writes the file; the word ``avcap`` at the front is this program.
        needs: Files that must be there before, made by earlier steps or found; their contents count.
        configs: Configs that the commands read; their contents count, and those of the files that they name.
        clears: Folders and files of unfinished work, deleted if that was begun from something else. While any is there, a
            command that has ended well does not run again.
        apart: Folder of what the graph makes: of what configs name in it only ``needs`` count.
        log: Where the commands write what they say; None: where this program does.
    """

    makes: Path
    commands: tuple[Command, ...]
    needs: tuple[Path, ...] = ()
    configs: tuple[Path, ...] = ()
    clears: tuple[Path, ...] = ()
    apart: Path | None = None
    log: Path | None = None

    @property
    def record(self) -> Path:
        """Where it is noted what the file was made from."""
        return self.makes.with_name(f".{self.makes.name}.made")

    @property
    def lock(self) -> Path:
        """The file that is locked while the commands run."""
        return self.makes.with_name(f".{self.makes.name}.lock")

    def mark(self) -> str:
        """Return the hash of commands, configs and needs, as they are now."""
        needs = {str(need): list(contents(need)) for need in self.needs}
        configs = fingerprint(self.configs, apart=self.apart)
        return hashlib.sha256(json.dumps([self.commands, configs, needs]).encode()).hexdigest()[:16]

    def read(self) -> Making | None:
        """Return the record, or None if there is none.

        Raises:
            ValueError: if it is damaged.
        """
        if not self.record.is_file():
            return None
        try:
            return Making(**json.loads(self.record.read_text(encoding="utf-8")))
        except (json.JSONDecodeError, TypeError) as error:
            raise ValueError(f"{self.record} is damaged ({error}); delete it, and {self.makes} too.") from error

    def write(self, record: Making) -> Making:
        """Write the record in one step, and return it."""
        write_atomically(self.record, json.dumps(asdict(record)) + "\n")
        return record

    def is_made(self) -> bool:
        """Return whether the file is there and right. One without a record, made by hand, must not be older than its needs."""
        if not self.makes.exists():
            return False
        if (record := self.read()) is not None:
            return record.ended == len(self.commands) and record.mark == self.mark()
        return all(need.stat().st_mtime <= self.makes.stat().st_mtime for need in self.needs)

    def state(self) -> State:
        """Return how far the file is."""
        if self.lock.is_file():
            with self.lock.open("a") as lock:
                if not _locked(lock):
                    return "running"
        if self.is_made():
            return "done"
        if (record := self.read()) is None:
            return "not started"
        if record.error is not None:
            return "failed"
        return "stale" if record.ended == len(self.commands) else "stopped"

    def keep(self) -> None:
        """Record what an existing file was made from."""
        if not self.record.is_file():
            self.write(Making(self.mark(), len(self.commands)))

    def make(self, runner: Runner) -> None:
        """Make the file, unless another process has made it meanwhile.

        Raises:
            OSError: if a command fails, or does not write the file.
            ValueError: if a config is no YAML mapping.
        """
        self.makes.parent.mkdir(parents=True, exist_ok=True)
        with self.lock.open("a") as lock:
            while not _locked(lock):
                runner.check()
                time.sleep(WAIT)
            if self.is_made():
                return
            record, start = self._begin(), time.monotonic()
            try:
                for command in self.commands[record.ended :]:
                    runner.run(command, self.log, (lock.fileno(),))
                    record = self.write(replace(record, ended=record.ended + 1))
                if not self.makes.exists():
                    raise FileNotFoundError(f"it was not written by: {' '.join(self.commands[-1])}")
            except OSError as error:
                record = replace(record, error=None if runner.stopping else str(error))
                raise
            finally:
                self.write(replace(record, seconds=round(record.seconds + time.monotonic() - start, 1)))

    def _begin(self) -> Making:
        """Return the record of a new start, at the first command that has not ended well."""
        old, mark = self.read(), self.mark()
        if self.makes.exists() if old is None else old.mark != mark:
            for path in self.clears:
                clear(path, but=self.lock)
            old = None
        self.makes.unlink(missing_ok=True)
        record = replace(old or Making(mark), error=None)
        kept = any(path.exists() for path in self.clears)
        return self.write(replace(record, ended=min(record.ended, len(self.commands) - 1) if kept else 0))


def clear(path: Path, *, but: Path) -> None:
    """Delete a file, or all that is in a folder but one file."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for child in path.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        elif child != but:
            child.unlink()


@dataclass
class Outcome:
    """The outcome of the steps that were run.

    Attributes:
        made: Those whose file was made.
        failed: File -> why there is none.
        left: Files that were not tried, since one that they need has failed or the run was stopped.
        stopped: Number of the signal that stopped the run; 0: none did.
    """

    made: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    left: list[Path] = field(default_factory=list)
    stopped: int = 0


def unmade(steps: Sequence[Step]) -> list[Step]:
    """Return the steps that a run would try, in their order: those not made, and those that need one of them."""
    found: dict[Path, Step] = {}
    for step in steps:
        if any(need in found for need in step.needs) or not step.is_made():
            found[step.makes] = step
    return list(found.values())


def run_steps(steps: Sequence[Step], runner: Runner, *, jobs: int = 1) -> Outcome:
    """Make what is not made, ``jobs`` files at a time; a failure stops only what needs the file.

    SIGTERM and Ctrl-C are passed on to the commands that run; the same call later goes on where they stopped.

    Raises:
        ValueError: if a step stands before one that it needs.
    """
    outcome, waiting = Outcome(), list(steps)
    running: dict[Future[None], Step] = {}
    places = {step.makes: place for place, step in enumerate(steps)}
    for place, step in enumerate(steps):
        if late := [need for need in step.needs if places.get(need, -1) >= place]:
            raise ValueError(f"{step.makes} needs {late[0]}, which is made later; put that step first.")
    with ThreadPoolExecutor(jobs) as threads, StopSignals(runner.stop) as stop:
        while waiting or running:
            absent = {*outcome.failed, *outcome.left}
            unready = {step.makes for step in (*waiting, *running.values())}
            for step in list(waiting):
                if stop.received or absent.intersection(step.needs):
                    outcome.left.append(step.makes)
                    absent.add(step.makes)
                elif len(running) == jobs or unready.intersection(step.needs):
                    continue
                elif step.is_made():
                    step.keep()
                    unready.discard(step.makes)
                else:
                    running[threads.submit(step.make, runner)] = step
                waiting.remove(step)
            if not running:
                continue
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                _note(running.pop(ended), ended, outcome, stopped=bool(stop.received))
    outcome.stopped = stop.received
    return outcome


def _note(step: Step, ended: Future[None], outcome: Outcome, *, stopped: bool) -> None:
    """Record in ``outcome`` how a step has ended."""
    try:
        ended.result()
    except (OSError, ValueError) as error:
        if stopped:
            outcome.left.append(step.makes)
        else:
            outcome.failed[step.makes] = str(error)
    else:
        outcome.made.append(step.makes)


def _locked(file: TextIO) -> bool:
    """Lock a file, if no other process has."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def share_cores(jobs: int) -> dict[str, str]:
    """Return the environment in which ``jobs`` programs share the cores (``OMP_NUM_THREADS``, unless it is set)."""
    share = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))} if jobs > 1 else {}
    return {**share, **os.environ}
