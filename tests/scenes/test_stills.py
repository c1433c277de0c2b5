"""Stills: which scenes, whether picture and caption agree, and what a data module reads of their shards."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from avcap.data import AudioCapsDataModule, FrameChoice
from avcap.scenes import Scene, compose, dataset, image_captions, render
from avcap.scenes import stills as module
from avcap.scenes.image_captions import visible
from avcap.scenes.pictures import draw
from avcap.scenes.stills import Stills, still, write_stills
from avcap.scenes.texts import texts
from avcap.shards.reader import Shards
from avcap.shards.verify import verify

SMALL = Stills(count=70, val=5, size=32, seed=3)  # two shards of 64 and 6, and one
SWAY = 4  # pixels of 64 by which a moving object may lie outside its box: 0.035 * 64, and rounding


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards of the small set."""
    out = tmp_path_factory.mktemp("stills")
    write_stills(out=out, **asdict(SMALL), num_workers=0, progress=False)
    return out


def _scenes(count: int) -> list[Scene]:
    return [Stills().scene(index, "train") for index in range(count)]


def _at(scene: Scene, caption: str) -> float:
    """The moment of a caption."""
    return next(row["time"] for row in image_captions(scene) if row["caption"] == caption)


def _drawn(scene: Scene, time: float, phase: int) -> np.ndarray:
    """A scene at a moment with all objects in one phase."""
    phases = [np.array([phase])] * len(scene.events)
    return draw(scene, scene.rng("frames"), times=np.array([time]), phases=phases, size=64)[0]


def test_a_still_follows_from_seed_split_and_index():
    item, again = SMALL.item(4, split="train"), SMALL.item(4, split="train")
    assert torch.equal(item.frames, again.frames)
    assert (item.id, item.captions) == (again.id, again.captions)
    others = (replace(SMALL, seed=4).item(4, split="train"), SMALL.item(4, split="val"), SMALL.item(5, split="train"))
    for other in others:
        assert other.id != item.id
        assert not torch.equal(other.frames, item.frames)


def test_no_scene_is_a_clip_of_a_data_set_or_told_by_a_text(monkeypatch: pytest.MonkeyPatch):
    told = []
    monkeypatch.setattr("avcap.scenes.texts.compose", lambda *a, **k: told.append(compose(*a, **k)) or told[-1])
    for seed in (0, 1, 3):
        list(texts(40, seed=seed))
    clips = [*islice(dataset.Settings(seed=0).scenes(), 40), *(compose(3, index, "val") for index in range(40))]
    mine = [Stills(seed=seed).scene(i, split) for seed in (0, 1, 3) for split in ("train", "val") for i in range(40)]
    assert len({scene.id for scene in mine}) == 240
    assert not {scene.id for scene in mine} & {scene.id for scene in (*told, *clips)}
    assert not {scene.events for scene in mine} & {scene.events for scene in (*told, *clips)}
    assert min(scene.seed for scene in mine) > max(scene.seed for scene in told)
    with pytest.raises(ValueError, match="seed must be from 0 to 4294967295"):
        dataset.Settings(seed=mine[0].seed)


def test_the_picture_shows_what_the_caption_names_and_nothing_else():
    empty = 0
    for scene in _scenes(60):
        picture, caption = still(scene)
        shown = visible(scene, _at(scene, caption))
        assert caption.count(" and ") == max(0, len(shown) - 1)
        assert all(event.colour in caption or event.of.look_group == "pan" for event in shown)
        place = _drawn(replace(scene, events=()), 0.0, 0)
        changed = (picture != place).any(-1)  # [64, 64]
        for event in shown:
            x, y, right, bottom = (round(64 * side) for side in event.box)
            assert changed[y:bottom, x:right].mean() > 0.1
        for event in shown:
            x, y, right, bottom = (round(64 * side) for side in event.box)
            changed[max(0, y - SWAY) : bottom + SWAY, max(0, x - SWAY) : right + SWAY] = False
        assert not changed.any()
        assert ("an empty view" in caption) == (not shown)
        empty += not shown
    assert 0 < empty < 30


def test_objects_are_at_rest_or_in_motion():
    alone = [scene for scene in _scenes(480) if len(scene.events) == 1 and scene.events[0].box]
    resting = 0
    for scene in alone:
        picture, caption = still(scene)
        resting += np.array_equal(picture, _drawn(scene, _at(scene, caption), 0))
    assert len(alone) > 40
    assert 0.1 < resting / len(alone) < 0.6  # a third; 4 standard deviations on either side


def test_the_place_and_resting_objects_are_those_of_the_rendered_clip():
    def silent(scene: Scene) -> Scene:
        return replace(scene, events=tuple(replace(event, audio=None) for event in scene.events))

    for scene in map(silent, _scenes(4)):
        _, frames = render(scene, fps=2)
        for number in (0, 5):
            assert np.array_equal(frames[number], _drawn(scene, (number + 1e-6) / 2, 0))


def test_shards_hold_one_picture_and_one_caption_a_clip(shards: Path):
    assert verify(shards).errors == []
    train = Shards(shards / "train")
    assert (len(train), len({train.shard_of(i) for i in range(len(train))}), len(Shards(shards / "val"))) == (70, 2, 5)
    assert (train.info.frames, train.info.size, train.info.captions) == (1, 32, {"1": 70})
    item, made = train.item(66), SMALL.item(66, split="train")
    assert (item.id, item.captions) == (made.id, made.captions)
    assert torch.equal(item.frames, made.frames)
    assert item.frames.shape == (1, 3, 32, 32)
    assert item.waveform is None


def test_the_data_module_trains_and_validates_on_them(shards: Path):
    data = AudioCapsDataModule(shards, frames=FrameChoice(1), batch_size=10, num_workers=0)
    data.setup("fit")
    batches = list(data.train_dataloader())
    captions = dict(pair for batch in batches for pair in zip(batch["id"], batch["caption"], strict=True))
    made = [SMALL.item(index, split="train") for index in range(70)]
    assert captions == {item.id: item.captions[0] for item in made}
    assert set(batches[0]) == {"id", "frames", "frames_mask", "frames_time", "caption"}
    assert batches[0]["frames"].shape == (10, 1, 3, 32, 32)
    (batch,) = data.val_dataloader()
    assert batch["references"] == [SMALL.item(index, split="val").captions for index in range(5)]
    with pytest.raises(FileNotFoundError, match=r"no shards in .*test \(no info\.json\), only of train and val"):
        data.setup("test")


def test_two_processes_write_the_same(shards: Path, tmp_path: Path):
    write_stills(out=tmp_path, **asdict(SMALL), num_workers=2, progress=False)
    for path in shards.rglob("*"):
        assert path.is_dir() or path.read_bytes() == (tmp_path / path.relative_to(shards)).read_bytes()


def test_a_stopped_run_counts_for_nothing_until_it_is_finished(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    drawn = []

    def stopped(scene: Scene, *, size: int) -> tuple[np.ndarray, str]:
        if len(drawn) == 5 + 66:
            raise KeyboardInterrupt
        drawn.append(scene.id)
        return still(scene, size=size)

    with monkeypatch.context() as patched:
        patched.setattr(module, "still", stopped)
        with pytest.raises(KeyboardInterrupt):
            write_stills(out=tmp_path, **asdict(SMALL), num_workers=0, progress=False)
    assert (tmp_path / "val").is_dir()
    assert not (tmp_path / "train").exists()
    monkeypatch.setattr(module, "still", lambda scene, **more: drawn.append(scene.id) or still(scene, **more))
    again = write_stills(out=tmp_path, **asdict(SMALL), num_workers=0, progress=False)
    assert [split.kept for split in again] == [True, False]
    assert len(drawn) == SMALL.val + SMALL.count  # nothing was drawn again
    assert (tmp_path / "train/info.json").read_bytes() == (shards / "train/info.json").read_bytes()
    assert verify(tmp_path).errors == []


def test_all_faults_are_named_at_once():
    with pytest.raises(
        ValueError, match="count and val must be at least 1; size must be at least 32; seed must be from 0"
    ):
        Stills(count=0, size=31, seed=-1)
    with pytest.raises(ValueError, match="count and val must be at least 1"):
        Stills(val=0)
