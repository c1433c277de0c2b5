"""A callback that a config names by its dotted path: it lets a run die, or kills a process that loads its data."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from typing import Any

from lightning.pytorch import Callback


class Killed(BaseException):
    """What ends the run: nothing looks out for it, so that it leaves what a SIGKILL would leave."""


class Kill(Callback):
    """Die at the n-th call of a hook.

    Args:
        hook: Its name.
        at: Which call, from 0.
        worker: Kill a process that loads data instead, and go on.
    """

    def __init__(self, hook: str, at: int = 0, worker: bool = False) -> None:
        self.worker = worker
        self._left = at
        setattr(self, hook, self._hit)

    def _hit(self, *_: Any) -> None:
        self._left -= 1
        if self._left != -1:
            return
        if not self.worker:
            raise Killed
        for process in multiprocessing.active_children():
            os.kill(process.pid or 0, signal.SIGKILL)
        print("killed a worker", file=sys.stderr)


def kill(hook: str, at: int = 0, *, worker: bool = False) -> tuple[str, ...]:
    """Options that add the callback to a run."""
    init = "--trainer.callbacks.{}={}".format
    settings = (init("hook", hook), init("at", at), init("worker", str(worker).lower()))
    return (f"--trainer.callbacks+={__name__}.Kill", *settings)
