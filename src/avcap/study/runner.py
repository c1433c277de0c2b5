"""Commands in processes of their own, which a stop signal reaches."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol

Command = tuple[str, ...]
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class RunningCommand(Protocol):
    """What runs a command."""

    def wait(self) -> int:
        """Wait for its end, and return its exit status: negative, the signal that killed it."""

    def terminate(self) -> None:
        """Tell it to stop."""


class Runner:
    """Runs commands in several threads, and stops them all.

    Args:
        say: Told each command before it runs.
        environment: Variables of the commands; None: those of this process.
        launch: What to put before each command, such as ``srun --gres=gpu:1``.
    """

    def __init__(
        self, say: Callable[[str], object], environment: Mapping[str, str] | None = None, launch: Sequence[str] = ()
    ) -> None:
        self.say, self.environment, self.launch = say, environment, launch
        self.stopping, self.processes, self.lock = False, set[RunningCommand](), threading.RLock()

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

    def run(self, command: Command, log: Path | None = None, inherited: tuple[int, ...] = ()) -> None:
        """Run one command to its end; it inherits some file descriptors.

        Raises:
            OSError: if it cannot be run.
            ChildProcessError: if it fails, or the run was stopped.
        """
        words = [*self.launch, sys.executable, "-m", "avcap", *command[1:]] if command[0] == "avcap" else command
        with self.lock:
            self.check()
            self.say(" ".join(command))
            process = self.start(words, log, inherited)
            self.processes.add(process)
        code = process.wait()
        with self.lock:
            self.processes.discard(process)
        if code:
            killed = f"killed by {signal.Signals(-code).name} after: " if code < 0 else ""
            raise ChildProcessError(
                killed + (f"status {code} of: {' '.join(command)}" if log is None else last_line(log))
            )

    def start(self, words: Sequence[str], log: Path | None, inherited: tuple[int, ...]) -> RunningCommand:
        """Start a command; what it says is added to ``log``."""
        return start(words, log, env=self.environment, pass_fds=inherited)


def start(words: Sequence[str], log: Path | None, **settings: Any) -> subprocess.Popen:
    """Start a program; what it says is added to ``log``, after its command line."""
    with ExitStack() as opened:
        if log is not None:
            sink = opened.enter_context(log.open("ab", buffering=0))
            sink.write(f"$ {' '.join(words)}\n".encode())
            settings |= {"stdout": sink, "stderr": subprocess.STDOUT}
        return subprocess.Popen(words, **settings)


def last_line(log: Path, *, longest: int = 300) -> str:
    """Return the last line of a log, without colours and progress bars: the error, if the last lines report one."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    lines = [_COLOURS.sub("", line).rpartition("\r")[2].strip() for line in text.splitlines()]
    end = [line for line in lines if line][-5:][::-1]
    said = next((line for line in end if "error" in line.lower()), end[0] if end else "no word in the log")
    return said if len(said) <= longest else said[: longest - 3] + "..."


class StopSignals:
    """Inside the block, Ctrl-C and SIGTERM do not end this process: they are noted and passed on.

    Args:
        pass_on: Called with the number of the signal.

    Attributes:
        received: Number of the last signal, 0 where there was none.
    """

    def __init__(self, pass_on: Callable[[int], object]) -> None:
        self.pass_on = pass_on
        self.received = 0

    def __enter__(self) -> StopSignals:
        """Set the handlers."""
        self._before = {number: signal.signal(number, self._receive) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the earlier handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = int(number)
        self.pass_on(number)
