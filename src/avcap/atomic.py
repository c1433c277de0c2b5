"""Atomic writing: a file or a folder is complete or absent, even if the process is killed or the machine loses power."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ODD = "backslashreplace"  # how the bytes of a file name that are no UTF-8 are written in JSON, which reads them again


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file in one step; a text is written in UTF-8.

    Args:
        path: The file; folders are made. A file that is there already is replaced.
        content: What it will hold.
    """
    with replacing(Path(path)) as fresh:
        fresh.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path``; what the block writes there is put in its place at the end.

    If the block fails, what it wrote is deleted, and what was at ``path`` stays.

    Args:
        path: A file or a folder; folders above it are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.partial")
    _delete(fresh)
    try:
        yield fresh
        put_in_place(fresh, path)
    except BaseException:
        _delete(fresh)
        raise


def put_in_place(fresh: Path, path: Path) -> None:
    """Bring a file or a folder to the disk, then rename it.

    A file is replaced in one step. A folder that is there already is moved aside first, and deleted afterwards: between the
    two, neither is at ``path``, and both are on the disk.

    Args:
        fresh: What is complete, on the same file system.
        path: Where it belongs.
    """
    inside = sorted(fresh.rglob("*"), reverse=True) if fresh.is_dir() else []
    for entry in (*inside, fresh):
        _flush(entry)
    aside = _aside(path)
    if path.is_dir():
        _delete(aside)
        path.rename(aside)
    fresh.replace(path)
    _flush(path.parent)
    if fresh.parent != path.parent:
        _flush(fresh.parent)
    _delete(aside)


def restore(path: Path) -> None:
    """Move a folder back that :func:`put_in_place` moved aside, if it was killed before the new one was in its place."""
    aside = _aside(path)
    if aside.is_dir():
        if path.exists():
            _delete(aside)
        else:
            aside.rename(path)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.replaced")


def _flush(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk; not every system can do so for folders."""
    if not path.is_dir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        return
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
