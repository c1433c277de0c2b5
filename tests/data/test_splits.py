"""Which clips a split takes: those of a list, those cut from train, those of the test."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from avcap.data import AudioCapsDataModule, Captions, ClipChoice
from avcap.data.corruptions import SwappedSound
from avcap.data.id_list import read_ids
from avcap.data.splits import Splits
from avcap.shards.reader import Shards
from tests.served import served

TRAIN = [f"clip{k:07d}_{k}" for k in range(26)]
VAL = [f"clip{1000 + k:07d}_{k}" for k in range(5)]


def module(shards: Path, **choice) -> AudioCapsDataModule:
    return served(shards, clips=ClipChoice(**choice))


def listed(path: Path, *ids: str) -> Path:
    path.write_text("\n".join(ids) + "\n")
    return path


@pytest.fixture
def three(small_shards: Path, tmp_path: Path) -> Path:
    """Shards of train and of test alone, as the authors' folders have them."""
    root = tmp_path / "three"
    root.mkdir()
    (root / "train").symlink_to(small_shards / "train")
    (root / "test").symlink_to(small_shards / "val")
    return root


def trained_and_validated(data: AudioCapsDataModule) -> tuple[list[str], list[str]]:
    seen = [
        [clip for batch in loader for clip in batch["id"]]
        for loader in (data.train_dataloader(), data.val_dataloader())
    ]
    return sorted(seen[0]), seen[1]


def test_clips_of_a_list_are_validated_on_and_not_trained_on(small_shards: Path, three: Path, tmp_path: Path) -> None:
    assert Shards(small_shards / "train").ids == TRAIN
    val = listed(tmp_path / "val.txt", *TRAIN[3:7], TRAIN[20])
    data = module(three, val=str(val))
    trained, validated = trained_and_validated(data)
    assert validated == [*TRAIN[3:7], TRAIN[20]]
    assert trained == [clip for clip in TRAIN if clip not in validated]
    assert not any("clip 20 " in f"{caption} " for caption in data.training_captions())
    told = data.validation()
    assert (told.split, told.ids, told.on_test) == ("cut from train", validated, False)


def test_a_share_is_the_same_for_every_seed_and_the_list_wins_over_a_val_split(small_shards: Path) -> None:
    cuts = []
    for seed in (0, 1):
        trained, validated = trained_and_validated(served(small_shards, clips=ClipChoice(val=0.3), seed=seed))
        assert sorted([*trained, *validated]) == TRAIN
        cuts.append(validated)
    assert cuts[0] == cuts[1]
    assert 2 <= len(cuts[0]) <= 14  # 0.3 of 26 is 8
    smaller = module(small_shards, val=0.15).dataset("val").ids
    assert set(smaller) < set(cuts[0])


def test_pseudo_captions_of_clips_that_are_validated_on_are_not_trained_on(three: Path, tmp_path: Path) -> None:
    rows = [{"id": clip, "caption": f"row of {clip}"} for clip in TRAIN[:4] for _ in range(2)]
    captions = tmp_path / "captions.jsonl"
    captions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cut = ClipChoice(val=listed(tmp_path / "val.txt", TRAIN[0], TRAIN[9]))
    data = served(three, clips=cut, captions=Captions(captions))
    assert {name.partition("#")[0] for name in data.dataset("train", training=True).ids} == set(TRAIN[1:4])
    assert len(data.dataset("train", training=True)) == 6
    none_left = ClipChoice(ids={"train": listed(tmp_path / "others.txt", *TRAIN[10:])})
    with pytest.raises(ValueError, match=r"No clip of .*train that data\.clips takes has a caption in"):
        served(three, clips=none_left, captions=Captions(captions)).dataset("train", training=True)


def test_the_papers_protocol_validates_on_the_clips_of_the_test(three: Path, tmp_path: Path) -> None:
    ids = {"test": listed(tmp_path / "ids.txt", *VAL[1:4])}
    data = module(three, paper_protocol=True, ids=ids)
    assert data.splits("fit") == ["train", "val"]
    assert data.dataset("val").ids == data.dataset("test").ids == VAL[1:4]
    told = data.validation()
    assert (told.split, told.ids, told.on_test) == ("test", VAL[1:4], True)
    assert module(three).validation() is None
    assert module(three).splits("fit") == ["train"]


def test_a_val_split_that_shares_clips_with_the_test_is_noticed(small_shards: Path, three: Path) -> None:
    assert not Splits(small_shards, ClipChoice()).validation().on_test
    (three / "val").symlink_to(small_shards / "val")
    assert Splits(three, ClipChoice()).validation().on_test


def test_one_folder_of_shards_serves_several_lists_and_missing_clips_are_told(
    small_shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    five = listed(tmp_path / "five.txt", VAL[4], "", VAL[0], VAL[0], *(f"gone_{k}" for k in range(5)))
    data = module(small_shards, ids={"val": five})
    assert data.dataset("val").ids == [VAL[0], VAL[4]]  # in the order of the shards
    assert data.clip_ids("validate") == [VAL[0], VAL[4]]
    assert f"5 of the 7 clips of {five} are not in the shards of {small_shards / 'val'}" in caplog.text
    assert "gone_0, gone_1, gone_2 and 2 more" in caplog.text
    assert "avcap data prepare" in caplog.text
    assert len(caplog.records) == 1
    none = listed(tmp_path / "none.txt", "a", "b")
    with pytest.raises(ValueError, match=r"All 2 clips of .*none\.txt are not in the shards of .*: a, b; give a list"):
        module(small_shards, ids={"val": none}).dataset("val")


def test_a_swap_takes_its_partner_from_the_list(small_shards: Path, tmp_path: Path) -> None:
    ids = {"val": listed(tmp_path / "two.txt", VAL[1], VAL[2])}
    dataset = served(small_shards, clips=ClipChoice(ids=ids), corruptions=[SwappedSound()]).dataset("val")
    assert dataset.ids == VAL[1:3]
    assert dataset[1]["id"] == VAL[2]
    assert [dataset.partner(place, "audio").id for place in (1, 2)] == [VAL[2], VAL[1]]


@pytest.mark.parametrize("kind", ["csv", "json", "coco", "txt"])
def test_lists_are_files_of_captions_or_of_ids(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"list.{'json' if kind == 'coco' else kind}"
    clips = [("abcdefghijk", 30), ("lmnopqrstuv", 5)]
    if kind == "csv":
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["audiocap_id", "youtube_id", "start_time", "caption"])
            writer.writerows([number, *clip, f"Caption {k}"] for number, clip in enumerate(clips) for k in range(2))
    elif kind == "json":
        path.write_text(
            json.dumps(
                [{"id": f"{name}_{start}", "audio": f"{name}_{start}.wav", "caption": "A dog"} for name, start in clips]
            )
        )
    elif kind == "coco":
        images = [{"id": f"{name}_{start}"} for name, start in clips]
        annotations = [{"id": 0, "image_id": image["id"], "caption": "A dog"} for image in images]
        path.write_text(json.dumps({"images": images, "annotations": annotations}))
    else:
        path.write_text("﻿abcdefghijk_30\r\n\r\nlmnopqrstuv_5\r\n", encoding="utf-8")
    assert list(read_ids(path)) == ["abcdefghijk_30", "lmnopqrstuv_5"]


def test_a_list_without_ids_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no list of clips .*none\.txt; give"):
        read_ids(tmp_path / "none.txt")
    with pytest.raises(ValueError, match=r"empty\.txt holds no clip id"):
        read_ids(listed(tmp_path / "empty.txt", " ", ""))


def test_a_list_for_a_split_that_is_not_there_is_refused(small_shards: Path, tmp_path: Path) -> None:
    ids = {"tset": listed(tmp_path / "ids.txt", *VAL)}
    with pytest.raises(ValueError, match=r"clips\.ids lists clips of tset, which is no split of"):
        module(small_shards, ids=ids).dataset("val")


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"val": 0.0}, "above 0 and below 1"),
        ({"val": 1}, "above 0 and below 1"),
        ({"val": 0.1, "paper_protocol": True}, "give one"),
        ({"val": 0.1, "ids": {"val": Path("a.txt")}}, r"clips\.val says where they come from"),
        ({"paper_protocol": True, "ids": {"val": Path("a.txt")}}, r"clips\.paper_protocol says where"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        ClipChoice(**settings)


def test_a_cut_that_leaves_nothing_is_refused(small_shards: Path, tmp_path: Path) -> None:
    for val, taken in ((1e-9, 0), (listed(tmp_path / "all.txt", *TRAIN), 26)):
        with pytest.raises(ValueError, match=f"takes {taken} of the 26 clips of .*train; give another"):
            module(small_shards, val=val).dataset("val")


def test_more_processes_than_training_clips_are_refused(small_shards: Path) -> None:
    class Nine:
        world_size, global_rank, overfit_batches, default_root_dir = 9, 0, 0, "."

    data = module(small_shards, limit=3)
    data.trainer = Nine()
    with pytest.raises(ValueError, match="The 9 processes of this run share 3 training clips; use at most 3 devices"):
        data.train_dataloader()
    assert len(data.val_dataloader()) == 1
