"""How a run ends: its exit status, and the processes that end with it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch.utilities.exceptions import SIGTERMException

from avcap.callbacks import StopTogether
from avcap.callbacks.save_last import is_lost_worker

PARENT = "AVCAP_PARENT"  # environment of the processes that Lightning starts: who started them
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


@contextmanager
def exit_status() -> Iterator[None]:
    """Exit with the right status when a run inside the block is stopped, and name a lost process that loads data.

    Raises:
        SystemExit: with 143 (128 + 15) after SIGTERM, 130 after Ctrl-C; Lightning's own would be 0, as if the run had finished.
        ChildProcessError: if a process that loads the data was killed.
    """
    try:
        yield
    except SIGTERMException:
        raise SystemExit(StopTogether.status) from None
    except (RuntimeError, OSError, EOFError) as error:
        if not is_lost_worker(error):
            raise
        raise ChildProcessError(
            f"A process that loads the data was killed, perhaps for want of memory ({error}); start again, training with "
            "--ckpt_path last, and with fewer --data.num_workers if memory was short."
        ) from error


def end_with_parent() -> None:
    """Let the processes that Lightning starts beside this one end when it dies, however it dies."""
    if os.environ.get(PARENT) == str(os.getppid()) and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    os.environ[PARENT] = str(os.getpid())
