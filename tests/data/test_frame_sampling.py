"""Which of the stored pictures are taken, alone and through the data module."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from avcap.data import AudioCapsDataModule
from avcap.data.frame_sampling import FrameChoice, centre_indices, random_indices
from avcap.shards.item import Item, pack, unpack
from avcap.shards.prepare import prepare
from tests.media_files import grey_ramp, write_csv, write_media
from tests.served import served


@pytest.mark.parametrize(("count", "first"), [(1, 10), (2, 9), (4, 8), (8, 6), (20, 0)])
def test_centre_is_the_official_evaluation(count: int, first: int) -> None:
    """Picture 10 alone, else those from int((20 - N) / 2)."""
    assert centre_indices(20, count) == list(range(first, first + count))


def test_random_starts_cover_every_place() -> None:
    generator = random.Random(0)
    drawn = [random_indices(20, 4, generator) for _ in range(400)]
    assert all(row == list(range(row[0], row[0] + 4)) for row in drawn)
    assert {row[0] for row in drawn} == set(range(17))
    assert {random_indices(20, 1, generator)[0] for _ in range(400)} == set(range(20))


@pytest.mark.parametrize("sampling", ["even", "centre", "random"])
def test_too_few_pictures_are_repeated(sampling: str) -> None:
    assert FrameChoice(sampling=sampling).choose("key")(2, 4) == [0, 0, 1, 1]
    assert FrameChoice(sampling=sampling).choose("key")(4, 4) == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [16, 96])  # stored raw, and as JPEG
def test_unpack_takes_the_chosen_pictures(size: int) -> None:
    grey = torch.arange(8, dtype=torch.uint8).mul(30).view(8, 1, 1, 1).expand(8, 3, size, size)
    record = pack(Item(id="a", frames=grey.contiguous()))
    taken = unpack(record, frames=2, choose=FrameChoice(sampling="centre").choose()).frames
    assert (taken[:, 0, 0, 0].float() - torch.tensor([90.0, 120.0])).abs().max() <= 2


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A train and a val clip whose six stored pictures are 10, 20, ... 60 grey (to within the video's loss)."""
    root, out = tmp_path_factory.mktemp("media"), tmp_path_factory.mktemp("shards")
    for split, youtube_id in (("train", "clip0000000"), ("val", "clip0000001")):
        write_media(root / "videos" / f"{youtube_id}_0.mp4", pictures=grey_ramp(6))
        write_csv(root / f"{split}.csv", ("youtube_id", "start_time", "caption"), [(youtube_id, 0, "it gets lighter")])
    prepare(root, out, frames=6, size=16, num_workers=1, progress=False)
    return out


def _numbers(sample) -> list[int]:
    """Which pictures a sample holds."""
    return (sample["frames"].float().mean((1, 2, 3)) / 10).round().int().sub(1).tolist()


def _module(shards: Path, count: int | None = None, sampling: str = "even", **settings) -> AudioCapsDataModule:
    return served(shards, frames=FrameChoice(count, sampling), **settings)


def test_random_depends_on_epoch_and_clip_alone(shards: Path) -> None:
    one = _module(shards, 1, "random").dataset("train", training=True)
    again = _module(shards, 1, "random").dataset("train", training=True)
    drawn = [_numbers(one[epoch, 0]) for epoch in range(60)]
    assert drawn == [_numbers(again[epoch, 0]) for epoch in range(60)]
    assert {number for (number,) in drawn} == set(range(6))
    other = _module(shards, 1, "random", seed=1).dataset("train", training=True)
    assert drawn != [_numbers(other[epoch, 0]) for epoch in range(60)]


@pytest.mark.parametrize("sampling", ["centre", "random"])
def test_evaluation_takes_the_centre(shards: Path, sampling: str) -> None:
    assert _numbers(_module(shards).dataset("val")[0]) == list(range(6))
    taken = _module(shards, 2, sampling).dataset("val")
    assert _numbers(taken[0]) == _numbers(taken[5, 0]) == [2, 3]


def test_loose_files_are_told_how_pictures_were_chosen(shards: Path) -> None:
    settings = _module(shards, 2, "random").input_settings()
    assert (settings["frames"], settings["stored_frames"], settings["frame_sampling"]) == (2, 6, "random")
