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
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from avcap.study.fingerprint import contents, fingerprint
from avcap.study.signals import StopSignals

Command = tuple[str, ...]
WAIT = 0.2  # seconds between two tries to lock


@dataclass(frozen=True)
class Step:
    """One file and the commands that make it.

    Beside the file stands a record, ``.<name>.made``: the hash of all that the file was made from. It is locked while the
    commands run, also by them, so that no other process makes the same file.

    Attributes:
        makes: The file; it is there when, and only when, the commands have ended well.
        commands: Run one after another; the word ``avcap`` at the front is this program.
        needs: Files that must be there before, made by earlier steps or found; their contents count.
        configs: Configs that the commands read; their contents count, and those of the files that they name.
        clears: Folders and files of unfinished work, deleted if that was begun from something else.
        apart: Folder of what the graph makes: of what configs name in it only ``needs`` count.
    """

    makes: Path
    commands: tuple[Command, ...]
    needs: tuple[Path, ...] = ()
    configs: tuple[Path, ...] = ()
    clears: tuple[Path, ...] = ()
    apart: Path | None = None

    @property
    def record(self) -> Path:
        """Where it is noted what the file was made from."""
        return self.makes.with_name(f".{self.makes.name}.made")

    def mark(self) -> str:
        """Return the hash of commands, configs and needs, as they are now."""
        needs = {str(need): list(contents(need)) for need in self.needs}
        configs = fingerprint(self.configs, seed=0, apart=self.apart)
        return hashlib.sha256(json.dumps([self.commands, configs, needs]).encode()).hexdigest()[:16]

    def is_made(self) -> bool:
        """Return whether the file is there and right. One without a record, made by hand, must not be older than its needs."""
        if not self.makes.exists():
            return False
        if self.record.is_file() and (recorded := self.record.read_text(encoding="utf-8")):
            return recorded == self.mark()
        return all(need.stat().st_mtime <= self.makes.stat().st_mtime for need in self.needs)

    def keep(self) -> None:
        """Record what an existing file was made from."""
        if not self.record.is_file():
            self.record.write_text(self.mark(), encoding="utf-8")

    def make(self, runner: Runner) -> None:
        """Make the file, unless another process has made it meanwhile.

        Raises:
            OSError: if a command fails, or does not write the file.
            ValueError: if a config is no YAML mapping.
        """
        self.record.parent.mkdir(parents=True, exist_ok=True)
        with self.record.open("a+", encoding="utf-8") as record:
            while not _locked(record):
                runner.check()
                time.sleep(WAIT)
            if self.is_made():
                return
            record.seek(0)
            recorded, mark = record.read(), self.mark()
            if recorded.removeprefix("begun ") != mark and (recorded or self.makes.exists()):
                for path in self.clears:
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            self.makes.unlink(missing_ok=True)
            self.record.write_text(f"begun {mark}", encoding="utf-8")
            for command in self.commands:
                runner.run(command, (record.fileno(),))
            if not self.makes.exists():
                raise FileNotFoundError(f"it was not written by: {' '.join(self.commands[-1])}")
            self.record.write_text(mark, encoding="utf-8")


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


def run_steps(
    steps: Sequence[Step], *, jobs: int = 1, environment: Mapping[str, str] | None = None, say: Callable[[str], object]
) -> Outcome:
    """Make what is not made, ``jobs`` files at a time; a failure stops only what needs the file.

    SIGTERM and Ctrl-C are passed on to the commands that run; the same call later goes on where they stopped.

    Args:
        steps: In the order in which they are wanted; none before one that it needs.
        jobs: How many run at once.
        environment: Variables of the commands; None: those of this process.
        say: Told each command before it runs.

    Raises:
        ValueError: if a step stands before one that it needs.
    """
    outcome, waiting = Outcome(), list(steps)
    running: dict[Future[None], Step] = {}
    places = {step.makes: place for place, step in enumerate(steps)}
    for place, step in enumerate(steps):
        if late := [need for need in step.needs if places.get(need, -1) >= place]:
            raise ValueError(f"{step.makes} needs {late[0]}, which is made later; put that step first.")
    runner = Runner(environment, say)
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


class Runner:
    """Runs commands in several threads, and stops them all."""

    def __init__(self, environment: Mapping[str, str] | None, say: Callable[[str], object]) -> None:
        self.environment, self.say = environment, say
        self.stopping, self.processes, self.lock = False, set[subprocess.Popen](), threading.RLock()

    def stop(self, number: int) -> None:
        """Let nothing more start, and tell what runs to stop."""
        with self.lock:
            self.stopping = True
            for process in self.processes:
                process.terminate()

    def check(self) -> None:
        """Raise ChildProcessError if the run was stopped."""
        if self.stopping:
            raise ChildProcessError("stopped")

    def run(self, command: Command, inherited: tuple[int, ...] = ()) -> None:
        """Run one command to its end; it inherits some file descriptors.

        Raises:
            OSError: if it cannot be run.
            ChildProcessError: if it fails, or the run was stopped.
        """
        with self.lock:
            self.check()
            self.say(" ".join(command))
            words = [sys.executable, "-m", "avcap", *command[1:]] if command[0] == "avcap" else command
            process = subprocess.Popen(words, env=self.environment, pass_fds=inherited)
            self.processes.add(process)
        code = process.wait()
        self.processes.discard(process)
        if code:
            raise ChildProcessError(f"status {code} of: {' '.join(command)}")


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
