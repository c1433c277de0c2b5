"""A checkpoint is read, or refused in a sentence that names it; nothing of it is run."""

from __future__ import annotations

import copy
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from avcap.checkpoints.carried_files import carry_files, unpack_files
from avcap.checkpoints.reading import read_checkpoint, read_state

GOOD: dict[str, Any] = {
    "state_dict": {"a.weight": torch.ones(2, 3)},
    "hyper_parameters": {"a": {"class_path": "avcap.fusion.TimeConcat", "init_args": {"widths": [1, 2]}}},
    "avcap_files": {"data/tokenizer": {"tokenizer.json": b"{}"}},
    "avcap_inputs": {"size": 8},
    "avcap_left_out": ["b.weight"],
}


class Code:
    """What runs when it is unpickled by a reader that trusts it."""

    def __reduce__(self) -> tuple:
        return os.mkdir, (os.environ["PLACE_OF_CODE"],)


def circle() -> dict:
    settings: dict = {}
    settings["me"] = settings
    return settings


def deep() -> dict:
    settings: dict = {}
    for _ in range(200):
        settings = {"a": settings}
    return settings


def wide() -> dict:
    """2 ** 40 settings in a few bytes: the same mappings again and again."""
    settings: dict = {}
    for _ in range(40):
        settings = {"a": settings, "b": settings}
    return settings


ENTRIES: dict[str, tuple[str, Any]] = {
    "code": ("extra", Code()),
    "settings that are a number": ("hyper_parameters", 3),
    "settings in a circle": ("hyper_parameters", circle()),
    "deep settings": ("hyper_parameters", deep()),
    "settings without an end": ("hyper_parameters", wide()),
    "settings that are tensors": ("hyper_parameters", {"a": torch.ones(1)}),
    "a list of weights": ("state_dict", [1]),
    "a number as weight": ("state_dict", {"a": 3}),
    "weights without names": ("state_dict", {3: torch.ones(1)}),
    "weights without values": ("state_dict", {"a": torch.ones(3, device="meta")}),
    "weights beyond the file": ("state_dict", {"a": torch.ones(1).expand(10**12)}),
    "sparse weights": ("state_dict", {"a": torch.ones(2, 2).to_sparse()}),
    "files that are a number": ("avcap_files", 3),
    "files without content": ("avcap_files", {"a": {"b": 3}}),
    "inputs that are a list": ("avcap_inputs", []),
    "names that are a text": ("avcap_left_out", "all"),
}


@pytest.mark.parametrize("what", ENTRIES)
def test_a_checkpoint_with_a_wrong_entry_is_refused_by_name(what, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PLACE_OF_CODE", str(tmp_path / "ran"))
    path = tmp_path / "run.ckpt"
    name, value = ENTRIES[what]
    torch.save({**GOOD, name: value}, path)
    with pytest.raises(ValueError, match=r"run\.ckpt") as refused:
        read_checkpoint(path)
    assert "weights_only" not in str(refused.value)
    assert not (tmp_path / "ran").exists()


def compressed(path: Path) -> None:
    stored = path.with_suffix(".zip")
    torch.save(GOOD, stored)
    with zipfile.ZipFile(stored) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))


def cut(path: Path) -> None:
    torch.save(GOOD, path)
    path.write_bytes(path.read_bytes()[:-40])


def holed(path: Path) -> None:
    torch.save(GOOD, path)
    content = bytearray(path.read_bytes())
    content[100:200] = bytes(100)
    path.write_bytes(content)


FILES: dict[str, Callable[[Path], Any]] = {
    "no file": lambda path: path.unlink(missing_ok=True),
    "a folder": Path.mkdir,
    "an empty file": Path.touch,
    "a text": lambda path: path.write_text("hello"),
    "a pickle": lambda path: path.write_bytes(b"\x80\x04K\x03."),
    "a file cut short": cut,
    "a file with a hole": holed,
    "a compressed archive": compressed,
    "another archive": lambda path: zipfile.ZipFile(path, "w").close(),
    "a list": lambda path: torch.save([1], path),
    "a state dict": lambda path: torch.save({"a": torch.ones(1)}, path),
    "no settings": lambda path: torch.save({"state_dict": {}}, path),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is_no_checkpoint_is_refused_by_name(what, tmp_path: Path):
    path = tmp_path / "run.ckpt"
    FILES[what](path)
    with pytest.raises((ValueError, FileNotFoundError), match=r"run\.ckpt"):
        read_checkpoint(path)


def test_a_good_one_is_read(tmp_path: Path):
    torch.save(GOOD, tmp_path / "run.ckpt")
    found = read_checkpoint(tmp_path / "run.ckpt")
    assert {key: value for key, value in found.items() if key != "state_dict"} == {
        key: value for key, value in GOOD.items() if key != "state_dict"
    }
    assert torch.equal(found["state_dict"]["a.weight"], torch.ones(2, 3))


@pytest.mark.parametrize("name", ["../evil", "../../evil", "/tmp/evil", "a/b", "..", ".", "", " ", "a\0b", "a\\b"])
def test_a_carried_file_lies_in_its_folder_or_nowhere(name, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    checkpoint = {**copy.deepcopy(GOOD), "avcap_files": {"data/tokenizer": {name: b"x"}}}
    with pytest.raises(ValueError, match="carries a file with the name"):
        unpack_files(checkpoint)
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]


def test_a_damaged_safetensors_file_is_named(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    path.write_bytes((10**9).to_bytes(8, "little") + b'{"a": 1}')
    with pytest.raises(ValueError, match=r"a\.safetensors is a damaged safetensors file"):
        read_state(path)


def test_a_file_of_prompts_is_carried(tmp_path: Path):
    file = tmp_path / "prompts.json"
    file.write_text("{}")
    prompting = {"prompts": str(file), "prompt": None}
    checkpoint = {"hyper_parameters": {"decoder": {"init_args": {"prompting": prompting}}}}
    carry_files(checkpoint)
    file.unlink()
    with unpack_files(checkpoint):
        carried = checkpoint["hyper_parameters"]["decoder"]["init_args"]["prompting"]["prompts"]
        assert Path(carried).read_text() == "{}"
