"""Rounds of one drill: a command is stopped and taken up until it is done, then compared; then again in a new folder."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from signal import SIGKILL, Signals

from avcap.drill.moments import Changes, Length, Moment, State, draw_moment, state, stop_at
from avcap.drill.process import DYING, DrilledProcess

OTHER_DISK = Path("/dev/shm")  # where there is one, every second TMPDIR is on it


@dataclass(frozen=True)
class Drill:
    """What is drilled, and what is right.

    Attributes:
        name: The verb.
        command: The command, for the folder of a round; the same words begin and go on.
        differences: A sentence for each thing that a round's folder has otherwise than the undisturbed one.
        places: Where it is stopped: ``start``, ``work``, and names that ``seen`` knows.
        seen: Gives something that changes when such a place is reached.
        signal: What stops it.
        statuses: Exit statuses of a command that was stopped.
        patience: Seconds that it may take to end.
        unit: What the work is counted in.
        again: Gives the most work that had to be done again after a stop, for a round's folder and its files after each
            start.
        at_most: The most that is right.
    """

    name: str
    command: Callable[[Path], list[str]]
    differences: Callable[[Path, Path], Iterable[str]]
    places: Sequence[str] = ("start", "work")
    seen: Callable[[str, Path], object] = lambda *_: None
    signal: Signals = SIGKILL
    statuses: Sequence[int] = (-SIGKILL,)
    patience: float = 30.0
    unit: str = "steps"
    again: Callable[[Path, Sequence[State]], int] = lambda *_: 0
    at_most: int = 0


@dataclass
class DrillReport:
    """What became of a drill.

    Attributes:
        name: What was drilled.
        unit: What its work is counted in.
        seed: Gives the same moments again.
        folder: Where it was done.
        stops: Stops by place.
        continued: Starts after a stop that went on, or came to the end.
        rounds: Commands that came to the end and were compared.
        alive: Processes that outlived their command and had to be killed.
        slowest: The most seconds from a stop to the end of the command.
        again: The most work that had to be done again after a stop.
        faults: What is not right, in sentences; the first of each round.
    """

    name: str
    unit: str
    seed: int
    folder: Path
    stops: Counter[str] = field(default_factory=Counter)
    continued: int = 0
    rounds: int = 0
    alive: int = 0
    slowest: float = 0.0
    again: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was lost and nothing is left."""
        return not self.faults and not self.alive


def run_drill(drill: Drill, folder: Path, *, stops: int, seed: int, tell: Callable[[str], None]) -> DrillReport:
    """Run a command undisturbed, then stop it and take it up until it is done, in round after round.

    Args:
        drill: What is drilled.
        folder: Of the rounds; those that went well are deleted.
        stops: Stops over all rounds.
        seed: Of the moments.
        tell: Is told each stop and each round.

    Returns:
        What became of it; the first fault ends the drill.

    Raises:
        ValueError: if ``stops`` is below 1, or the undisturbed command fails.
    """
    if stops < 1:
        raise ValueError(f"A drill needs 1 kill or more, got {stops}.")
    return _Rounds(drill, folder, stops, seed, tell).run()


class _Rounds:
    """The state of one drill."""

    def __init__(self, drill: Drill, folder: Path, stops: int, seed: int, tell: Callable[[str], None]) -> None:
        self.drill, self.folder, self.stops, self.tell = drill, folder, stops, tell
        self.random = Random(seed)
        self.running: DrilledProcess | None = None
        self.report = DrillReport(drill.name, drill.unit, seed, folder)
        self.left: list[tuple[float, DrilledProcess]] = []  # what was stopped, and when all of it must be gone

    def run(self) -> DrillReport:
        try:
            self._run(self.folder / "undisturbed")
            return self.report
        finally:
            if self.running is not None:  # a drill that is interrupted leaves nothing
                self.running.clear(0)

    def _run(self, whole: Path) -> None:
        self.length = self._undisturbed(whole)
        length = self.length
        self.tell(
            f"undisturbed: {length.starting:.1f} s to start, {length.working:.1f} s with {length.changes} changes"
        )
        over = False
        while not over and not self.report.faults:
            folder = self.folder / f"round-{self.report.rounds + 1}"
            folder.mkdir(parents=True)
            self._round(folder)
            self._compare(whole, folder)
            if over := self.report.stops.total() >= self.stops:
                self._again_when_done(whole, folder)
            if not self.report.faults:
                shutil.rmtree(folder)
        self._sweep(wait=True)

    def _undisturbed(self, folder: Path) -> Length:
        folder.mkdir(parents=True)
        process = self._start(folder)
        changes = Changes(folder)
        process.wait(lambda: changes.count() > 0, 600)
        starting = process.seconds
        process.wait(lambda: changes.count() < 0, 600)
        working = process.seconds - starting
        if process.status != 0:
            process.clear(0)
            raise ValueError(f"The undisturbed command failed, so there is nothing to drill: {process.said}")
        self.report.alive += process.clear()
        return Length(starting, working, max(1, changes.seen))

    def _round(self, folder: Path) -> None:
        """Stop and take up one command until it is done, or a start fails."""
        states: list[State] = []
        while not self.report.faults:
            moment = None
            if self.report.stops.total() < self.stops:
                moment = draw_moment(self.random, self.drill.places, self.length, self.drill.signal)
            process = self._start(folder)
            stopped = moment is not None and stop_at(moment, process, folder, self.length, self.drill.seen)
            at = process.seconds
            process.wait(lambda: False, self.drill.patience if stopped else self.length.limit)
            self._judge(process, moment if stopped else None, process.seconds - at)
            self.report.continued += bool(states) and not self.report.faults
            states.append(state(folder))
            if process.status == 0:
                break
        self.report.again = max(self.report.again, self.drill.again(folder, states))

    def _judge(self, process: DrilledProcess, moment: Moment | None, seconds: float) -> None:
        """Count a stop, or note how a start failed."""
        status = process.status
        if moment is not None:
            self.report.stops[moment.place] += 1
            self.report.slowest = max(self.report.slowest, seconds)
            self.tell(f"{self.report.stops.total()} of {self.stops}: {moment}, ended in {seconds:.1f} s")
            self.left.append((time.monotonic() + DYING, process))
        after = f" after {moment}" if moment else ""
        if status is None:
            self.report.faults.append(f"It did not end within {seconds:.0f} s{after}: {process.said}")
            process.send(SIGKILL, everyone=True)
        elif status and not (moment and status in self.drill.statuses):
            self.report.faults.append(f"It ended with status {status}{after}: {process.said}")

    def _compare(self, whole: Path, folder: Path) -> None:
        """Compare a finished command with the undisturbed one."""
        if self.report.faults:
            return
        self.report.rounds += 1
        if self.report.again > self.drill.at_most:
            done = f"{self.report.again} {self.drill.unit} were done again after one stop"
            self.report.faults.append(f"{done}; {self.drill.at_most} may be.")
        self.report.faults += islice(self.drill.differences(whole, folder), 1)
        self.tell(f"round {self.report.rounds}: {'a difference' if self.report.faults else 'equal'}")

    def _again_when_done(self, whole: Path, folder: Path) -> None:
        """Start a finished command again: it must leave all as it is."""
        if self.report.faults:
            return
        process = self._start(folder)
        process.wait(lambda: False, self.length.limit)
        self._judge(process, None, process.seconds)
        found = islice(self.drill.differences(whole, folder), 1)
        self.report.faults += [f"Started again when it was done: {difference}" for difference in found]

    def _sweep(self, *, wait: bool = False) -> None:
        """Count, and kill, what outlives a command that was stopped."""
        now = time.monotonic()
        for end, process in self.left:
            if wait or end < now:
                self.report.alive += process.clear(max(0.0, end - now))
        self.left = [] if wait else [(end, process) for end, process in self.left if end >= now]

    def _start(self, folder: Path) -> DrilledProcess:
        self._sweep()
        temporary = OTHER_DISK if OTHER_DISK.is_dir() and self.random.random() < 0.5 else None
        self.running = DrilledProcess(self.drill.command(folder), self.folder / "log.txt", temporary=temporary)
        return self.running
