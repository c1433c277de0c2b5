"""``status.json``: the status of a cell, in its folder beside ``log.txt``."""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from avcap.atomic import write_atomically
from avcap.study.fingerprint import fingerprint

STATUS, LOG, RESULTS = "status.json", "log.txt", "results.json"
State = Literal["running", "stopped", "failed", "done", "stale", "not started"]
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Status:
    """The status of a cell.

    Attributes:
        state: ``running``; ``stopped`` from outside, to be taken up again; ``failed``; ``done``. Only looked up, never
            written: ``stale`` (its configs or data have changed since) and ``not started``.
        configs: Its base config and overlay.
        seed: Its seed.
        fingerprint: The hash of all that its result depends on.
        fitted: Whether the training is through, so that only the test is left.
        seconds: Wall time so far, over all starts.
        clips_per_second: Training clips a second, of the last start; None before the training is through.
        error: The last line of the log of a failed cell.
        host: The machine that supervises it.
        pid: The process that does.
    """

    state: State
    configs: tuple[str, ...] = ()
    seed: int = 0
    fingerprint: str = ""
    fitted: bool = False
    seconds: float = 0.0
    clips_per_second: float | None = None
    error: str | None = None
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)


def write_status(folder: Path, status: Status) -> Status:
    """Write ``status.json`` in one step, and return the status."""
    write_atomically(folder / STATUS, json.dumps(asdict(status), indent=1) + "\n")
    return status


def read_status(folder: Path) -> Status | None:
    """Return the content of ``status.json``, or None if there is none.

    Raises:
        ValueError: if the file is damaged.
    """
    path = folder / STATUS
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Status(**{**found, "configs": tuple(found["configs"])})
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete {folder} to run the cell again.") from error


def look_up(folder: Path) -> Status:
    """Return the current status: a dead process is not running, and a finished cell whose configs have changed is stale.

    Raises:
        ValueError: if ``status.json`` is damaged.
    """
    status = read_status(folder)
    if status is None:  # a chain of trainings leaves its results alone
        return Status("done" if (folder / RESULTS).is_file() else "not started")
    if status.state == "running" and status.host == socket.gethostname() and not _alive(status.pid):
        status = replace(status, state="done" if (folder / RESULTS).is_file() else "stopped")
    if status.state == "done" and not is_fresh(folder, status):
        return replace(status, state="stale")
    return status


def is_fresh(folder: Path, status: Status) -> bool:
    """Return whether a finished cell has its results, of the configs and the data as they are now."""
    if not (folder / RESULTS).is_file():
        return False
    try:
        return fingerprint([Path(name) for name in status.configs], seed=status.seed) == status.fingerprint
    except (OSError, ValueError):
        return False


def last_line(log: Path, *, longest: int = 300) -> str:
    """Return the last line of a log, without colours and progress bars: the error, if the last lines report one."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    lines = [_COLOURS.sub("", line).rpartition("\r")[2].strip() for line in text.splitlines()]
    end = [line for line in lines if line][-5:][::-1]
    said = next((line for line in end if "error" in line.lower()), end[0] if end else "no word in the log")
    return said if len(said) <= longest else said[: longest - 3] + "..."


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
