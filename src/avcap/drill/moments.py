"""When a command is stopped, by which signal, and who gets it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from avcap.drill.process import DrilledProcess

State = dict[str, tuple[int, int, int]]  # path -> time of its last change, size, number of the file

AT_ONCE = 0.01  # seconds within which a stop follows what it was waiting for


@dataclass(frozen=True)
class Length:
    """How long an undisturbed command takes.

    Attributes:
        starting: Seconds until it first writes into its folder.
        working: Seconds from there to its end.
        changes: How often its folder was seen to change.
    """

    starting: float
    working: float
    changes: int

    @property
    def limit(self) -> float:
        """Seconds after which a command hangs."""
        return 120.0 + 10.0 * (self.starting + self.working)


@dataclass(frozen=True)
class Moment:
    """One stop.

    Attributes:
        place: ``start`` (before the command writes anything), ``work`` (at any time after), or a place that is waited for.
        changes: Changes of the folder that come before; 0 in ``start``.
        delay: Seconds after that.
        signal: What is sent.
        everyone: To the whole process group, else to the main process alone.
    """

    place: str
    changes: int
    delay: float
    signal: signal.Signals
    everyone: bool

    def __str__(self) -> str:
        whom = "all processes" if self.everyone else "the main process"
        return f"{self.signal.name} to {whom}, {self.place}, {self.changes} changes and {self.delay:.3f} s"


def draw_moment(random: Random, places: Sequence[str], length: Length, number: signal.Signals) -> Moment:
    """Draw a moment; one after ``start`` lies anywhere among the changes that an undisturbed command makes in its folder."""
    place, everyone = random.choice(places), random.random() < 0.5
    if place == "start":
        return Moment(place, 0, random.uniform(0.0, length.starting), number, everyone)
    step = length.working / length.changes if place == "work" else AT_ONCE
    return Moment(place, random.randint(1, length.changes), random.uniform(0.0, step), number, everyone)


def stop_at(
    moment: Moment, process: DrilledProcess, folder: Path, length: Length, seen: Callable[[str, Path], object]
) -> bool:
    """Wait for the moment and send the signal; return False if the command ended before.

    Args:
        moment: When.
        process: The command.
        folder: What it writes.
        length: How long it takes undisturbed.
        seen: Gives something that changes when a place (not ``start`` or ``work``) is reached.
    """
    changes = Changes(folder)
    if moment.changes and not process.wait(lambda: changes.count() >= moment.changes, length.limit):
        return False
    if moment.place not in ("start", "work"):
        now = seen(moment.place, folder)
        if not process.wait(lambda: seen(moment.place, folder) != now, length.limit):
            return False
    process.wait(lambda: False, moment.delay)
    if process.status is not None:
        return False
    process.send(moment.signal, everyone=moment.everyone)
    return True


class Changes:
    """Counts the changes of a folder, of those that it is there to see.

    Args:
        folder: The folder, as it is now.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen, self.last = folder, 0, state(folder)

    def count(self) -> int:
        """Look, and return how many changes were seen."""
        now = state(self.folder)
        self.seen, self.last = self.seen + (now != self.last), now
        return self.seen


def state(folder: Path) -> State:
    """Return what distinguishes the files below a folder from those at another time."""
    found: State = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)  # noqa: PTH118 (looked at a hundred times a second)
            with contextlib.suppress(OSError):  # moved or deleted in between
                facts = os.stat(path)  # noqa: PTH116
                found[path] = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
    return found
