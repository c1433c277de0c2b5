"""Faults in shards are found, and named by file."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from avcap.commands.shards import print_verified
from avcap.shards.reader import ShardInfo, Shards
from avcap.shards.verify import verify
from tests.served import served


@pytest.fixture
def shards(small_shards: Path, tmp_path: Path) -> Path:
    return shutil.copytree(small_shards, tmp_path / "shards")


def _shard(shards: Path) -> Path:
    split = Shards(shards / "train")
    return list(dict.fromkeys(split.shard_of(i) for i in range(len(split))))[2]


def test_whole_shards(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = verify(shards)
    assert report.ok
    assert [info.split for info in report.splits] == ["train", "val"]
    print_verified(verify(shards, quick=True))
    printed = capsys.readouterr().out
    assert "1, 3" in printed
    assert "No fault found." in printed


@pytest.mark.parametrize("fault", ["truncated", "empty", "missing", "zeroed", "flipped"])
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_shard_is_named_and_exits_non_zero(shards: Path, fault: str) -> None:
    path = _shard(shards)
    content = bytearray(path.read_bytes())
    if fault == "missing":
        path.unlink()
    elif fault == "flipped":
        content[len(content) * 2 // 3] ^= 0xFF
        path.write_bytes(content)
    else:
        path.write_bytes(
            {"truncated": content[: len(content) // 2], "empty": b"", "zeroed": bytes(len(content))}[fault]
        )
    errors = verify(shards).errors
    assert len(errors) == 1
    assert path.name in errors[0]
    with pytest.raises(SystemExit) as stop:
        print_verified(verify(shards))
    assert stop.value.code == 1


@pytest.mark.parametrize("name", ["captions.jsonl", "manifest.jsonl"])
def test_a_changed_file_beside_the_shards_is_named(shards: Path, name: str) -> None:
    path = shards / "train" / name
    path.write_text(path.read_text().replace("clip 3", "clip 4").replace("0000003_3", "0000003_4"))
    (error,) = verify(shards).errors
    assert str(path) in error
    path.unlink()
    (error,) = verify(shards, quick=True).errors
    assert f"{path} cannot be read (No such file or directory)" in error


def test_training_on_a_damaged_shard_names_it(shards: Path) -> None:
    path = _shard(shards)
    path.write_bytes(path.read_bytes()[:1000])
    loader = served(shards, batch_size=8).train_dataloader()
    with pytest.raises(ValueError, match=r"\d of 26 training clips cannot be read, more than 1%: .*avcap data verify"):
        list(loader)
    assert all(
        re.search(rf"The shard .*{path.name} cannot be read .*prepare --overwrite", reason)
        for reason in loader.unreadable.values()
    )


def test_a_clip_in_two_splits_is_an_error(shards: Path) -> None:
    shutil.rmtree(shards / "val")
    shutil.copytree(shards / "train", shards / "val")
    report = verify(shards)
    assert not report.ok
    assert "26 clips are in more than one of train and val (the first: clip0000000_0)" in report.errors[0]


def test_a_damaged_info_file_is_named(shards: Path) -> None:
    path = shards / "train" / "info.json"
    faults = {
        b"{": "Expecting",
        b"\xff": "utf-8",
        b"5": "not iterable",
        b"[]": "dictionary",
        b'{"split": "train"}': "frames: Field",
    }
    faults[path.read_bytes().replace(b'"clips": 26', b'"clips": null')] = "clips: Input should be a valid integer"
    for content, reason in faults.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"train/info\.json is damaged \(.*{reason}"):
            ShardInfo.load(shards / "train")
    assert "info.json is damaged" in verify(shards).errors[0]
    with pytest.raises(FileNotFoundError, match="There are no shards"):
        verify(shards / "train")
