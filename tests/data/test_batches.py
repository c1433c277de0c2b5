"""Shards -> batches, and loose files -> batches."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from torch.utils.data._utils import signal_handling

from avcap.data import AudioCapsDataModule, Captions, ClipChoice, FrameChoice, SpecAugment
from avcap.data.collate import Sample, collate, to_sample
from avcap.data.corruptions import SwappedSound
from avcap.frontends import KaldiFbank
from avcap.media import MediaError
from avcap.shards.reader import Shards
from avcap.shards.reading import clip_of, read_item
from tests.media_files import grey_ramp, tone, write_media
from tests.served import served


def _module(shards: Path, **settings) -> AudioCapsDataModule:
    return served(shards, **settings)


def test_a_training_batch(small_shards: Path) -> None:
    batch = next(iter(_module(small_shards).train_dataloader()))
    assert batch["audio"].shape == (4, 64, 8)
    assert batch["audio"].dtype == torch.float32
    assert batch["frames"].shape == (4, 2, 3, 16, 16)
    assert batch["frames"].dtype == torch.uint8
    assert len(batch["caption"]) == 4
    assert "references" not in batch


def test_evaluation_gives_every_clip_once_with_all_references(small_shards: Path) -> None:
    batches = list(_module(small_shards).val_dataloader())
    assert [i for b in batches for i in b["id"]] == [f"clip{1000 + k:07d}_{k}" for k in range(5)]
    first = batches[0]
    assert first["references"][1] == [f"caption {c} of val clip 1" for c in range(5)]
    assert first["caption"][1] == "caption 0 of val clip 1"
    assert first["audio_mask"][1].sum() == pytest.approx(58, abs=2)  # 0.6 s: the video is longer than the sound
    assert not first["audio_mask"][3].any()  # the fourth clip is silent
    assert first["frames_mask"][3].all()
    assert "frames" not in batches[1]  # the fifth has no pictures: a stream that no clip has is left out


def test_rows_and_pictures_have_their_times(small_shards: Path) -> None:
    batch = next(iter(_module(small_shards).val_dataloader()))
    seconds = torch.tensor([Shards(small_shards / "val").meta(index)["video_seconds"] for index in range(4)])  # [4]
    torch.testing.assert_close(batch["frames_time"], seconds[:, None] * torch.tensor([0.25, 0.75]))
    assert batch["frames_time"].dtype == batch["audio_time"].dtype == torch.float32
    torch.testing.assert_close(batch["audio_time"][0], torch.arange(64) * 0.01 + 0.005)
    second = next(iter(_module(small_shards, frames=FrameChoice(1, "centre")).val_dataloader()))
    torch.testing.assert_close(second["frames_time"], seconds[:, None] * 0.75)  # the second of two stored ones


def test_shorter_clips_have_unknown_times_where_they_are_padded() -> None:
    samples = [Sample(id=str(n), visual_features=torch.zeros(n, 4), visual_features_time=torch.ones(n)) for n in (1, 2)]
    samples.append(Sample(id="untimed", visual_features=torch.zeros(2, 4)))
    time = collate(samples)["visual_features_time"]
    assert time.isnan().tolist() == [[False, True], [False, False], [True, True]]
    assert "visual_features_time" not in collate(samples[2:])


@pytest.mark.parametrize("captions_apart", [True, False])
def test_the_training_captions_are_told(
    small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, captions_apart: bool
) -> None:
    shutil.copytree(small_shards, tmp_path / "shards")
    if not captions_apart:  # as in shards of an earlier version
        (tmp_path / "shards" / "train" / "captions.jsonl").unlink()
    reads, record = [], Shards.record
    monkeypatch.setattr(Shards, "record", lambda self, index, blobs: reads.append(index) or record(self, index, blobs))
    captions = _module(tmp_path / "shards").training_captions()
    assert len(reads) == (0 if captions_apart else 26)
    monkeypatch.undo()
    shards = _module(small_shards).dataset("train", training=True).shards
    assert captions == [caption for index in range(len(shards)) for caption in shards.item(index).captions]
    assert all("of train clip" in caption for caption in captions)
    assert _module(small_shards).training_captions(limit=5) == [
        caption for index in range(0, len(shards), -(-len(shards) // 5)) for caption in shards.item(index).captions
    ]


def test_captions_of_other_clips_are_refused(small_shards: Path, tmp_path: Path) -> None:
    shutil.copytree(small_shards, tmp_path / "shards")
    file = tmp_path / "shards" / "train" / "captions.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(ValueError, match=r"captions\.jsonl is damaged or of other clips; make the shards again"):
        _module(tmp_path / "shards").training_captions()


def test_evaluated_clips_can_be_spoilt_and_training_never_is(small_shards: Path) -> None:
    clean, spoilt = _module(small_shards), _module(small_shards, corruptions=[SwappedSound()])
    before, after = clean.dataset("val")[1], spoilt.dataset("val")[1]
    assert not torch.equal(before["audio"], after["audio"])
    assert torch.equal(before["frames"], after["frames"])
    assert (before["caption"], before["references"]) == (after["caption"], after["references"])
    assert torch.equal(
        clean.dataset("train", training=True)[1]["audio"], spoilt.dataset("train", training=True)[1]["audio"]
    )
    with pytest.raises(ValueError, match=r"corruptions and captions\.path cannot go together"):
        _module(small_shards, corruptions=[SwappedSound()], captions=Captions(Path("rows.jsonl")))


def test_normalisation_is_that_of_the_front_end(small_shards: Path) -> None:
    usual = next(iter(_module(small_shards).val_dataloader()))["audio"]
    plain = next(iter(_module(small_shards, frontend=KaldiFbank(8, 64, 0.0, 1.0)).val_dataloader()))["audio"]
    torch.testing.assert_close(usual[0], (plain[0] + 4.346) / 4.332)


def test_what_the_model_does_not_read_is_not_given(small_shards: Path) -> None:
    chosen = {"frames": FrameChoice(1), "clips": ClipChoice(limit=3)}
    batch = next(iter(_module(small_shards, reads=("frames",), **chosen).val_dataloader()))
    assert "audio" not in batch
    assert batch["frames"].shape == (3, 1, 3, 16, 16)
    assert "frames" not in next(iter(_module(small_shards, reads=("audio",)).val_dataloader()))
    assert "audio" not in next(iter(_module(small_shards, frontend=None).val_dataloader()))


@pytest.mark.parametrize("make", [lambda: FrameChoice(0), lambda: ClipChoice(0), lambda: Captions(pairs=0)])
def test_bad_numbers_are_refused(make) -> None:
    with pytest.raises(ValueError, match="must be null or at least 1, got 0"):
        make()


def test_captions_and_augmentation_change_with_the_epoch_and_only_in_training(small_shards: Path) -> None:
    module = _module(small_shards, transforms=[SpecAugment(4, 20)])
    training, plain = module.dataset("train", training=True), module.dataset("train")
    same = [training[2, 0]["audio"], training[2, 0]["audio"], training[3, 0]["audio"], plain[2, 0]["audio"]]
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])
    assert not torch.equal(same[0], same[3])
    assert {training[epoch, 0]["caption"] for epoch in range(30)} == {f"caption {c} of train clip 0" for c in range(3)}
    assert {plain[epoch, 0]["caption"] for epoch in range(5)} == {"caption 0 of train clip 0"}


def test_workers_give_the_same_batches(small_shards: Path) -> None:
    def read(workers: int) -> list:
        loader = _module(small_shards, num_workers=workers, transforms=[SpecAugment(4, 20)]).train_dataloader()
        return list(loader)

    for one, two in zip(read(0), read(2), strict=True):
        assert one["id"] == two["id"]
        assert one["caption"] == two["caption"]
        assert torch.equal(one["audio"], two["audio"])


def test_features_of_unequal_length_are_padded() -> None:
    samples = [{"id": "a", "visual_features": torch.ones(2, 3)}, {"id": "b", "visual_features": torch.ones(4, 3)}]
    batch = collate([*samples, {"id": "c"}])
    assert batch["visual_features"].shape == (3, 4, 3)
    assert batch["visual_features_mask"].sum(1).tolist() == [2, 4, 0]
    with pytest.raises(ValueError, match="visual_features of one batch differ in size"):
        collate([*samples, {"id": "c", "visual_features": torch.ones(2, 5)}])


def test_loose_files_make_a_batch(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "sound.wav", tone(0.5, 44_100), 44_100)
    Image.fromarray(np.full((40, 60, 3), 99, np.uint8)).save(tmp_path / "picture.jpg")
    write_media(tmp_path / "both.mp4", wave=tone(0.3), pictures=grey_ramp(4))
    write_media(tmp_path / "silent.mp4", pictures=grey_ramp(4))
    paths = [
        tmp_path / "sound.wav",
        tmp_path / "picture.jpg",
        tmp_path / "both.mp4",
        tmp_path / "silent.mp4",
        (tmp_path / "picture.jpg", tmp_path / "sound.wav"),
    ]
    frontend = KaldiFbank(16, target_length=100)
    items = [read_item(clip_of(path), frames=3, size=24) for path in paths]
    batch = collate([to_sample(item, frontend) for item in items])
    assert batch["audio_mask"].any(1).tolist() == [True, False, True, False, True]
    assert batch["frames_mask"].any(1).tolist() == [False, True, True, True, True]
    assert batch["frames"].shape == (5, 3, 3, 24, 24)
    assert set(collate([to_sample(items[0], frontend)])) == {"id", "audio", "audio_mask", "audio_time"}
    assert batch["audio_time"][1].isnan().all()  # a picture has no sound
    assert batch["audio_time"][2, [0, 99]].tolist() == pytest.approx([0.005, 0.995])  # padding has times, too
    assert batch["frames_time"][:2].isnan().all()  # no pictures; one of a clip whose length is not known
    torch.testing.assert_close(batch["frames_time"][4], torch.tensor([1, 3, 5]) * 0.5 / 6)  # the sound is 0.5 s long
    with pytest.raises(MediaError, match="A pair is a file with sound and an image or video"):
        clip_of((tmp_path / "picture.jpg", tmp_path / "silent.mp4"))


def test_no_shards_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="avcap data prepare"):
        _module(tmp_path).setup("fit")


def test_a_worker_outlives_a_scheduler_that_stops_it_at_its_birth(
    small_shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch sets a worker's handler of SIGTERM, which ends it, long before it calls anything of ours."""
    set_handlers = signal_handling._set_worker_signal_handlers

    def set_and_receive() -> None:
        set_handlers()
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(signal_handling, "_set_worker_signal_handlers", set_and_receive)
    batches = list(_module(small_shards, num_workers=1).val_dataloader())
    assert sum(len(batch["id"]) for batch in batches) == 5
