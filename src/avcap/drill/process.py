"""A command in a session of its own, which is stopped from outside with all that it started, or without."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

POLL = 0.004  # seconds between two looks at a running command
DYING = 10.0  # seconds that what a killed process started may take to notice
QUIET = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}


class DrilledProcess:
    """A command in a process that leads a session and a process group of its own.

    Args:
        command: The program and its words.
        log: File of what it prints; a later process appends.
        temporary: Its TMPDIR; None: as here.
    """

    def __init__(self, command: Sequence[str], log: Path, *, temporary: Path | None = None) -> None:
        environment = {**os.environ, **QUIET}
        if temporary is not None:
            environment["TMPDIR"] = str(temporary)
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log, self._from = log, log.stat().st_size if log.exists() else 0
        self.begun = time.monotonic()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command),
                cwd=log.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.begun

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    @property
    def said(self) -> str:
        """The end of what it printed."""
        with self.log.open("rb") as output:
            output.seek(self._from)
            lines = output.read().decode(errors="replace").splitlines()
        return " / ".join(line.strip() for line in lines[-6:] if line.strip())

    def wait(self, until: Callable[[], bool], limit: float) -> bool:
        """Wait until something has happened; return False if the process ended before, or the time was over."""
        end = time.monotonic() + limit
        while self.status is None and time.monotonic() < end:
            if until():
                return True
            time.sleep(POLL)
        return False

    def send(self, number: signal.Signals, *, everyone: bool) -> None:
        """Send a signal to the process alone or to its whole group; nothing where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if everyone else os.kill)(self._process.pid, number)

    def alive(self) -> list[psutil.Process]:
        """Return the processes of its session that still run."""
        return [process for process in psutil.process_iter() if self._is_mine(process)]

    def clear(self, grace: float = DYING) -> int:
        """Give what is left of the session time to end, kill the rest, and return how many that were."""
        end = time.monotonic() + grace
        while (left := self.alive()) and time.monotonic() < end:
            time.sleep(0.05)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return len(left)

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            return os.getsid(process.pid) == self._process.pid and process.status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            return False
