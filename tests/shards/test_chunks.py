"""Positioned reads of shards: the records that litdata reads, without the bytes that nobody wants."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from avcap.shards.chunks import OpenFiles
from avcap.shards.item import BLOBS, Item
from avcap.shards.reader import ShardInfo, Shards, UnreadableClip
from avcap.shards.writer import write_split


def _ids(shards: Shards) -> list[str]:
    return [shards.record(index)["id"] for index in range(len(shards))]


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_litdata_reads_the_same_records(small_shards: Path) -> None:
    from litdata import StreamingDataset

    for split in ("train", "val"):
        shards, reference = Shards(small_shards / split), StreamingDataset(str(small_shards / split), shuffle=False)
        assert len(shards) == len(reference)
        for index in range(len(shards)):
            ours, theirs = shards.record(index), reference[index]
            assert list(ours) == list(theirs)
            assert all(bytes(ours[name]) == bytes(theirs[name]) for name in BLOBS)
            assert (ours["id"], ours["meta"]) == (theirs["id"], theirs["meta"])


def test_only_what_is_wanted_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def clip(number: int) -> Item:
        wave, pictures = 0.1 * torch.randn(16_000), torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
        return Item(f"clip{number}", ["noise"], 1.0, waveform=wave, frames=pictures)

    write_split(tmp_path, ShardInfo("train", 2, 64), range(2), clip, num_workers=0, progress=False)
    shards = Shards(tmp_path / "train")
    counts, preadv = [], os.preadv
    monkeypatch.setattr("os.preadv", lambda *args: counts.append(preadv(*args)) or counts[-1])
    whole = shards.record(0)
    sizes = {name: len(whole[name]) for name in BLOBS}
    assert min(sizes["waveform"], sizes["frames"]) > 8192  # else the head of a record holds them
    counts.clear()
    assert "waveform" not in shards.record(0, ("frames",))
    assert sum(counts) <= 4096 + sizes["frames"]
    counts.clear()
    assert shards.meta(0)["has_audio"]
    assert sum(counts) <= 4096


def test_threads_and_processes_share_open_shards(small_shards: Path) -> None:
    shards = Shards(small_shards / "train")
    expected = _ids(shards)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(_ids, [shards] * 4)) == [expected] * 4
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(_ids, (shards,)) == expected
    assert _ids(pickle.loads(pickle.dumps(shards))) == expected


def test_few_files_are_open_at_once(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / str(number)).write_bytes(bytes([number] * 4))
    before = _open_files()
    files = OpenFiles(tmp_path.joinpath, limit=2)
    for number in [0, 1, 2, 3, 4, 5, 0, 3]:
        assert files[str(number)].read(1, 2) == bytes([number] * 2)
    assert _open_files() == before + 2
    del files
    assert _open_files() == before


def test_a_changed_byte_is_found_when_a_clip_is_read_whole(small_shards: Path, tmp_path: Path) -> None:
    shutil.copytree(small_shards / "train", tmp_path / "train")
    shards = Shards(tmp_path / "train")
    content = bytearray(shards.shard_of(0).read_bytes())
    place = content.index(bytes(shards.record(0)["frames"]))
    content[place] ^= 1  # one shade of one pixel
    shards.shard_of(0).write_bytes(content)
    with pytest.raises(UnreadableClip, match=rf"{shards.shard_of(0)} is damaged at the clip {shards.ids[0]}") as caught:
        shards.item(0)
    assert caught.value.clip == shards.ids[0]
    assert shards.item(1).id == shards.ids[1]


@pytest.mark.parametrize("change", ["fields", "compression", "sizes", "no config"])
def test_chunks_of_another_make_are_refused(small_shards: Path, tmp_path: Path, change: str) -> None:
    shutil.copytree(small_shards / "val", tmp_path / "val")
    file = tmp_path / "val" / "index.json"
    index = json.loads(file.read_text())
    if change == "fields":
        index["config"]["data_spec"] = index["config"]["data_spec"].replace("waveform", "audio")
    elif change == "compression":
        index["config"]["compression"] = "zstd"
    elif change == "sizes":
        index["chunks"][0]["chunk_size"] += 1
    else:
        del index["config"]
    file.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"index\.json"):
        Shards(tmp_path / "val")
