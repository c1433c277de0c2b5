"""A worker process: it does jobs one after another, tells which clip it is at, and ends with its parent."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

AnyJob = TypeVar("AnyJob")
Work = Callable[[AnyJob], Iterable[int | None] | None]


class Worker(Generic[AnyJob]):
    """A process, the job it has, and the clip it is at.

    Args:
        work: Does a job; it may yield the position of each clip before it makes it.
    """

    def __init__(self, work: Work[AnyJob]) -> None:
        context: Any = get_context("fork" if sys.platform == "linux" else "spawn")
        self.pipe, there = context.Pipe()
        self.process = context.Process(target=_serve, args=(there, work, os.getpid()), daemon=True)
        self.process.start()
        there.close()  # so that the pipe ends with the process
        self.job: AnyJob | None = None
        self.clip: int | None = None
        self.begun = 0.0  # when it began with the clip, by the clock of the crew

    def kill(self) -> None:
        """End the process; a read from a dead network drive may delay its end, which nobody need wait for."""
        self.process.kill()
        self.process.join(5)
        self.pipe.close()


def _serve(pipe: Connection, work: Work[AnyJob], parent: int) -> None:
    """Do jobs until the parent process has no more, or ends."""
    _end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    faulthandler.disable()  # a crash is told in one sentence
    torch.set_num_threads(1)
    while True:
        job = pipe.recv()
        try:
            for clip in work(job) or ():
                pipe.send(clip)
            pipe.send(True)
        except Exception as error:
            pipe.send(_portable(error))


def _portable(error: Exception) -> Exception:
    """Return an error as another process can read it."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


def _end_with(parent: int) -> None:
    """Have this process end when its parent does, however that ends, and be the first to go when memory runs out."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it has ended already
            os._exit(1)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")
    elif (guard := parent_process()) is not None:
        sentinel = guard.sentinel
        threading.Thread(target=lambda: (wait([sentinel]), os._exit(1)), daemon=True).start()


def death_of(status: int | None) -> str:
    """Say how a process ended."""
    if status is None or status >= 0:
        return f"ended the process that read it (exit status {status})"
    if -status == signal.SIGKILL:
        return "got the process that read it killed (signal 9), which the system does when memory runs out"
    return f"made the decoder crash (signal {-status}: {signal.strsignal(-status)})"


def memory_of(pid: int | None) -> int:
    """Return the bytes of memory that a process holds; 0 if it has ended."""
    import psutil

    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0
