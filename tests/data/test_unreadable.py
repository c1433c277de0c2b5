"""Clips that cannot be read: replaced in training and counted, never in evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from avcap.data import ClipChoice
from avcap.shards.item import Item
from avcap.shards.reader import ShardInfo, Shards, UnreadableClip
from avcap.shards.writer import write_split
from tests.served import served

CLIPS = 210


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """210 clips of 0.1 s in shards of 10."""

    def clip(number: int) -> Item:
        wave = 0.1 * torch.randn(1600, generator=torch.Generator().manual_seed(number))
        return Item(f"clip{number}", [f"caption {number}"], 0.1, waveform=wave)

    for split in ("train", "val"):
        info = ShardInfo(split, frames=0, size=16, plan=split)
        write_split(tmp_path, info, range(CLIPS), clip, clips_per_shard=10, num_workers=0, progress=False)
    return tmp_path


def _damage(shards: Path, split: str, *clips: int) -> None:
    """Change one byte of the sound of some clips."""
    opened = Shards(shards / split)
    for index in clips:
        content = bytearray(opened.shard_of(index).read_bytes())
        sound = bytes(opened.record(index)["waveform"])
        content[content.index(sound) + len(sound) // 2] ^= 0x10
        opened.shard_of(index).write_bytes(content)


def _epoch(shards: Path, *, workers: int = 0, **settings: object) -> tuple[list[str], list[str], dict[str, str]]:
    """Return the ids and captions of a training epoch, and what could not be read."""
    loader = served(shards, num_workers=workers, seed=2, **settings).train_dataloader()
    batches = list(loader)
    assert not any("unreadable" in batch for batch in batches)
    return [i for b in batches for i in b["id"]], [c for b in batches for c in b["caption"]], loader.unreadable


@pytest.mark.parametrize("window", [None, 3])
def test_the_next_readable_clip_of_the_order_takes_its_place(
    shards: Path, window: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    clips = ClipChoice(window=window)
    before, _, none = _epoch(shards, clips=clips)
    assert not none
    first, second = int(before[17][4:]), int(before[18][4:])
    _damage(shards, "train", first, second)
    after, captions, lost = _epoch(shards, clips=clips)
    assert after == [*before[:17], before[19], before[19], *before[19:]]
    assert captions == [f"caption {clip[4:]}" for clip in after]
    assert list(lost) == [f"clip{first}", f"clip{second}"]
    named = [r.getMessage() for r in caplog.records if "replaced" in r.getMessage()]
    assert len(named) == 2
    assert f"damaged at the clip clip{first}" in named[0]
    assert _epoch(shards, workers=2, clips=clips) == (after, captions, lost)


def test_more_than_one_percent_stops_the_run_with_the_list(shards: Path) -> None:
    _damage(shards, "train", 5, 77, 140)
    with pytest.raises(ValueError, match=r"3 of 210 training clips cannot be read, more than 1%: ") as caught:
        _epoch(shards)
    assert all(f"clip{number}" in str(caught.value) for number in (5, 77, 140))


def test_a_shard_that_is_gone_stops_the_run(shards: Path) -> None:
    Shards(shards / "train").shard_of(0).unlink()
    with pytest.raises(ValueError, match=r"\d+ of 210 training clips cannot be read"):
        _epoch(shards, workers=1)


def test_nothing_is_replaced_in_evaluation(shards: Path) -> None:
    _damage(shards, "val", 5)
    with pytest.raises(UnreadableClip, match=r"val/chunk-0-0\.bin is damaged at the clip clip5\."):
        list(served(shards).val_dataloader())
    with pytest.raises(UnreadableClip, match=r"val/chunk-0-0\.bin is damaged at the clip clip5\."):
        list(served(shards, num_workers=1).val_dataloader())


def test_the_run_folder_lists_what_was_replaced(shards: Path, tmp_path: Path) -> None:
    from types import SimpleNamespace

    _damage(shards, "train", 5)
    data = served(shards)
    data.trainer = SimpleNamespace(
        default_root_dir=str(tmp_path / "run"), global_rank=0, world_size=1, overfit_batches=0
    )
    for _ in range(2):
        list(data.train_dataloader())
    (row, again) = map(json.loads, (tmp_path / "run" / "unreadable.jsonl").read_text().splitlines())
    assert row["id"] == again["id"] == "clip5"  # of two loaders
    assert "damaged at the clip clip5" in row["reason"]
