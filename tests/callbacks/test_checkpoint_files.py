"""Checkpoint files: whole or absent, equal for equal states, with the one before."""

from __future__ import annotations

import os
import random
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from avcap.callbacks.checkpoint_files import WholeCheckpoints, find_last, is_whole, read_progress, share


def save(folder: Path, step: int, name: str = "last.ckpt") -> Path:
    state = OrderedDict(weight=torch.full((50, 20), float(step)), bias=torch.zeros(20))
    WholeCheckpoints().save_checkpoint({"state_dict": state, "global_step": step, "callbacks": {}}, folder / name)
    return folder / name


def step_of(path: Path) -> int:
    return read_progress(path)["global_step"]


def test_the_file_before_is_kept_and_nothing_else(tmp_path: Path):
    for step in (1, 2, 3):
        save(tmp_path / "checkpoints", step)
    folder = tmp_path / "checkpoints"
    assert {path.name: step_of(path) for path in folder.iterdir()} == {"last.ckpt": 3, "last-1.ckpt": 2}


@pytest.mark.parametrize("call", ["fsync", "link", "replace"])
def test_a_kill_while_saving_leaves_a_whole_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str):
    """Whatever call of the system is the last one that is made."""
    save(tmp_path, 1)
    save(tmp_path, 2)

    class Killed(BaseException):
        pass

    left = 0

    def die(*args, **kwargs):
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        return real(*args, **kwargs)

    where = (os, call) if call != "replace" else (Path, call)
    real = getattr(*where)
    monkeypatch.setattr(*where, die)
    killed = 0
    for call_number in (1, 2, 3):
        left = call_number
        try:
            save(tmp_path, 3)
        except Killed:
            killed += 1
            assert step_of(find_last(tmp_path)) in (2, 3)
            assert is_whole(tmp_path / "last-1.ckpt")
    assert killed


def test_nothing_is_written_outside_the_folder_of_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """So that the folder of temporary files may be on another file system, or full."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    assert is_whole(save(tmp_path, 1))


def test_every_flipped_byte_of_the_weights_and_every_cut_is_noticed(tmp_path: Path):
    whole = save(tmp_path, 1).read_bytes()
    start = whole.index(torch.full((50, 20), 1.0).numpy().tobytes())
    damaged = tmp_path / "damaged.ckpt"
    draw = random.Random(0)
    for _ in range(20):
        content = bytearray(whole)
        content[draw.randrange(start, start + 4000)] ^= 1 << draw.randrange(8)
        damaged.write_bytes(content)
        assert not is_whole(damaged)
        damaged.write_bytes(whole[: draw.randrange(len(whole))])
        assert not is_whole(damaged)


def test_a_damaged_last_file_falls_back_to_the_one_before_with_a_sentence(tmp_path: Path, caplog):
    save(tmp_path, 1)
    save(tmp_path, 2)
    assert find_last(tmp_path) == tmp_path / "last.ckpt"
    assert not caplog.messages
    (tmp_path / "last.ckpt").write_bytes((tmp_path / "last.ckpt").read_bytes()[:-100])
    assert find_last(tmp_path) == tmp_path / "last-1.ckpt"
    (message,) = caplog.messages
    assert str(tmp_path / "last.ckpt") in message
    (tmp_path / "last-1.ckpt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"last-1\.ckpt: damaged; give another checkpoint by --ckpt_path"):
        find_last(tmp_path)
    assert find_last(tmp_path / "empty") is None


def test_equal_states_give_equal_bytes_whoever_holds_them(tmp_path: Path):
    save(tmp_path, 5)
    again = torch.load(tmp_path / "last.ckpt", weights_only=True)
    WholeCheckpoints().save_checkpoint(again, tmp_path / "again.ckpt")
    assert (tmp_path / "again.ckpt").read_bytes() == (tmp_path / "last.ckpt").read_bytes()


@pytest.mark.parametrize("links", [True, False])
def test_a_file_is_shared_also_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool):
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("not supported")))
    save(tmp_path, 1)
    share(tmp_path / "last.ckpt", tmp_path / "best.ckpt")
    save(tmp_path, 2)
    assert {path.name: step_of(path) for path in tmp_path.iterdir()} == {
        "last.ckpt": 2,
        "last-1.ckpt": 1,
        "best.ckpt": 1,
    }


def test_a_checkpoint_that_was_read_is_not_read_again(tmp_path: Path):
    file, files = save(tmp_path, 1), WholeCheckpoints()
    content = files.read(file)
    assert files.load_checkpoint(str(file)) is content
    again = files.load_checkpoint(str(file))
    assert again is not content
    assert again["global_step"] == 1
    files.read(file)
    assert files.load_checkpoint(save(tmp_path, 2, "other.ckpt"))["global_step"] == 2
    with pytest.raises(FileNotFoundError, match=r"There is no checkpoint .*none\.ckpt"):
        files.load_checkpoint(tmp_path / "none.ckpt")
