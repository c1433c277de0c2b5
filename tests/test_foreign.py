"""Exceptions of other libraries: a sentence where a user can help, nothing where the fault is ours."""

from __future__ import annotations

import csv
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.environments import SLURMEnvironment
from safetensors import safe_open
from torch.utils.data import DataLoader

from avcap.foreign import sentence


def said(act: Callable[[], Any]) -> str | None:
    try:
        act()
    except Exception as error:
        return sentence(error)
    raise AssertionError("nothing was raised")


def raising(error: Exception) -> Callable[[], None]:
    """Raises as a library does: from a frame that is not avcap's."""

    def act() -> None:
        raise error

    return act


class Broken:
    """A data set whose clips cannot be read."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        raise ValueError(f"clip{index}.mp4 cannot be decoded; look at it.")


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "--data.batch_size"),
        (torch.OutOfMemoryError("CUDA out of memory"), "--data.batch_size"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"),
            "not enough memory",
        ),
        (MemoryError(), "not enough memory"),
        (RuntimeError("No CUDA GPUs are available"), "--trainer.accelerator cpu"),
        (AssertionError("x"), None),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "--data.num_workers"),
        (RuntimeError("The server socket has failed: address already in use"), "MASTER_PORT"),
        (RuntimeError("PytorchStreamWriter failed writing file data/1"), "free some space"),
        (OSError(24, "Too many open files"), "ulimit"),
        (ValueError("set the option `trust_remote_code=True` to remove this error"), "never runs"),
        (PermissionError(13, "Permission denied", "/root/a.json"), "/root/a.json: permission denied"),
        (KeyError("inside"), None),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (TypeError("unexpected keyword"), None),
    ],
)
def test_what_a_user_can_put_right_is_told_with_the_remedy(error, part):
    found = said(raising(error))
    assert found is None if part is None else part in found, found
    assert "trust_remote_code" not in (found or "")


def test_a_machine_without_a_gpu_and_a_cluster_with_another_option_are_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert "--trainer.accelerator cpu" in (said(lambda: Trainer(accelerator="gpu", logger=False)) or "")
    assert "int > 0" in (said(lambda: Trainer(accelerator="cpu", devices="abc", logger=False)) or "")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert "--ntasks-per-node=2" in (said(SLURMEnvironment) or "")


def test_what_a_worker_says_is_told_without_its_traceback():
    loader = DataLoader(Broken(), num_workers=1)  # type: ignore[arg-type]
    assert said(lambda: list(loader)) == "clip0.mp4 cannot be decoded; look at it."


READERS: dict[str, Callable[[Path], Any]] = {
    "utf-8": lambda path: path.read_text(encoding="utf-8"),
    "json": lambda path: json.loads(path.read_bytes().decode("latin-1")),
    "yaml": lambda path: yaml.safe_load(path.read_bytes().decode("latin-1")),
    "zip": lambda path: zipfile.ZipFile(path),
    "pickle": lambda path: pickle.loads(path.read_bytes()),
    "safetensors": lambda path: safe_open(path, framework="pt"),
    "csv": lambda path: list(csv.reader(path.open(encoding="latin-1"), strict=True)),
}


@pytest.mark.parametrize("kind", READERS)
def test_the_file_that_was_read_is_named(kind, tmp_path: Path):
    path = tmp_path / "damaged.file"
    path.write_bytes(b'"a"b [ \xff: {')
    assert "damaged.file" in (said(lambda: READERS[kind](path)) or "")
