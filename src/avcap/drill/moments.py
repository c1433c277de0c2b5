"""When a command is stopped, by which signal, and who gets it."""

from __future__ import annotations

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
    """How long an undisturbed command takes: seconds until it first writes into its folder, and from there to its end."""

    starting: float
    working: float

    @property
    def limit(self) -> float:
        """Seconds after which a command hangs."""
        return 60.0 + 10.0 * (self.starting + self.working)


@dataclass(frozen=True)
class Moment:
    """One stop.

    Attributes:
        place: ``start`` (before the command writes anything), ``work`` (at any time after), or a place that is waited for.
        delay: Seconds from the beginning of the command (``start``) or from its first file on.
        at_once: Seconds from the place that is waited for.
        signal: What is sent.
        everyone: To the whole process group, else to the main process alone.
    """

    place: str
    delay: float
    at_once: float
    signal: signal.Signals
    everyone: bool

    def __str__(self) -> str:
        whom = "all processes" if self.everyone else "the main process"
        return f"{self.signal.name} to {whom} in {self.place}, after {self.delay:.2f} s"


def draw(random: Random, places: Sequence[str], length: Length, number: signal.Signals) -> Moment:
    """Draw a moment; ``work`` and what is waited for lie anywhere in the time that an undisturbed command works."""
    place = random.choice(places)
    delay = random.uniform(0.0, length.starting if place == "start" else length.working)
    return Moment(place, delay, random.uniform(0.0, AT_ONCE), number, random.random() < 0.5)


def stop_at(
    moment: Moment, process: DrilledProcess, folder: Path, length: Length, seen: Callable[[str, Path], object]
) -> bool:
    """Wait for the moment and send the signal; return False if the command ended before.

    Args:
        moment: When.
        process: The command.
        folder: What it writes; changes there are its signs of life.
        length: How long it takes undisturbed.
        seen: Gives something that changes when a place (not ``start`` or ``work``) is reached.
    """
    before = state(folder)
    if moment.place != "start" and not process.wait(lambda: state(folder) != before, length.limit):
        return False
    if process.wait(lambda: False, moment.delay) or process.status is not None:
        return False
    if moment.place not in ("start", "work"):
        now = seen(moment.place, folder)
        if not process.wait(lambda: seen(moment.place, folder) != now, length.limit):
            return False
        process.wait(lambda: False, moment.at_once)
    if process.status is not None:
        return False
    process.send(moment.signal, everyone=moment.everyone)
    return True


def state(folder: Path) -> State:
    """Return what distinguishes the files below a folder from those at another time."""
    found: State = {}
    for path in folder.rglob("*"):
        try:
            facts = path.stat()
        except OSError:  # moved or deleted in between
            continue
        found[str(path)] = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
    return found
