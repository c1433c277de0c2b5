"""A lock on a folder, so that two processes do not write into it at the same time."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

LOCK = ".lock"
PATIENCE = 2.0  # seconds: the worker processes of a killed process hold its lock until they have ended, too


@contextmanager
def locked(folder: Path, name: str = LOCK, *, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of a folder. It ends with the process, however that ends; several computers need a file system with flock.

    Args:
        folder: The folder; it is made.
        name: The file of the lock, which names the process that holds it.
        patience: Seconds to wait for it.

    Raises:
        BlockingIOError: if another process holds it; the message names that process and its computer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    lock = FileLock(file)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        holder = file.read_text(encoding="utf-8").strip() or "another process"
        raise BlockingIOError(
            f"{holder[:1].upper() + holder[1:]} is writing into {folder}; wait for its end, or stop it."
        ) from None
    note = not isinstance(lock, SoftFileLock)  # without flock the file itself is the lock, and names the process
    try:
        if note:
            file.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        if note:
            file.write_text("", encoding="utf-8")
        lock.release()
