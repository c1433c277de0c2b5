"""The checkpoint files of a run: each is whole or absent, and the one before the last is kept."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from avcap.atomic import replacing
from avcap.checkpoints.reading import read_checkpoint

log = logging.getLogger(__name__)

LAST, BEFORE, BEST = "last.ckpt", "last-1.ckpt", "best.ckpt"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place, flushes it to the disk and moves it there; ``last.ckpt`` becomes ``last-1.ckpt``.

    A kill leaves the old file or the new one. A checkpoint is a zip archive with the CRC-32 of every tensor, which
    :func:`is_whole` compares. Equal states give equal bytes. Only tensors and plain values are read back, and their storages stay
    on the disk until they are used.
    """

    def __init__(self) -> None:
        self._read: tuple[Path, dict[str, Any]] | None = None

    def read(self, path: Path) -> dict[str, Any]:
        """Read a checkpoint that is loaded next, which then does not read it again; see :func:`read_checkpoint`."""
        content = read_checkpoint(path, rebuild=False)
        self._read = path, content
        return content

    def load_checkpoint(self, path: str | Path, *args: Any, **settings: Any) -> dict[str, Any]:
        """Return the content of a checkpoint; one at a URL is read as Lightning does.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is damaged, or is no checkpoint.
        """
        if "://" in str(path):
            return super().load_checkpoint(path, *args, **settings)
        found, self._read = self._read, None
        return found[1] if found is not None and found[0] == Path(path) else read_checkpoint(Path(path), rebuild=False)

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write a checkpoint; one at a URL is written as Lightning does."""
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        path = Path(path)
        with replacing(path) as fresh:
            with fresh.open("wb") as file:  # given a path, torch would write its name into the archive
                torch.save(_plain(checkpoint), file)
            if path.name == LAST and path.exists():
                share(path, path.with_name(BEFORE))


def share(source: Path, target: Path) -> None:
    """Give the file ``source`` a second name in one step; a copy where the file system has no links."""
    with replacing(target) as fresh:
        try:
            os.link(source, fresh)
        except OSError:
            shutil.copyfile(source, fresh)


def is_whole(path: Path) -> bool:
    """Return whether every record of a checkpoint is as it was written."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError, ValueError):
        return False


def find_last(folder: Path) -> Path | None:
    """Return the last whole checkpoint in a folder; None where there never was one.

    Raises:
        ValueError: if there are some, and all are damaged.
    """
    found = [path for path in (folder / LAST, folder / BEFORE) if path.is_file()]
    for path in found:
        if is_whole(path):
            if path.name != LAST:
                log.warning("%s is damaged or missing; the run goes on from the one before, %s.", folder / LAST, path)
            return path
    if found:
        names = " and ".join(map(str, found))
        raise ValueError(f"{names}: damaged; give another checkpoint by --ckpt_path, or start anew by --overwrite.")
    return None


def read_progress(path: Path) -> dict[str, Any]:
    """Return ``global_step``, ``epoch`` and ``callbacks`` (name -> state) of a checkpoint; its tensors stay on the disk."""
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return {key: content.get(key) for key in ("global_step", "epoch", "callbacks")}


def _plain(value: Any) -> Any:
    """Return a value in which equal texts are one object, and no two containers are: pickle tells identity from equality."""
    if isinstance(value, dict) and type(value) in (dict, OrderedDict):
        made = type(value)((_plain(key), _plain(content)) for key, content in value.items())
        if isinstance(value, OrderedDict):
            vars(made).update(_plain(vars(value)))  # the versions of modules
        return made
    if type(value) in (list, tuple):
        return type(value)(_plain(content) for content in value)
    return sys.intern(value) if type(value) is str else value
