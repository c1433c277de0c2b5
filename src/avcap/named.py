"""The name of a file in what is wrong with its content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def named(path: Path | str) -> Iterator[None]:
    """Name the file in what is wrong with its content.

    Raises:
        ValueError: where the block raises one.
        FileNotFoundError: likewise.
    """
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        if str(path) in str(error):
            raise
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        raise kind(f"{path}: {error}") from error
