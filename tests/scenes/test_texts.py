"""Texts of scenes: which scenes, and whether seen and heard go together as in the data set."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from avcap.cli import main
from avcap.scenes import compose, dataset, image_captions
from avcap.scenes.texts import texts

ROWS = list(texts(1500, seed=3))
HEARD = [row for row in ROWS if row["task"] == "hear"]


def test_texts_follow_from_the_seed_and_each_is_of_its_own_scene():
    assert list(texts(20, seed=3)) == ROWS[:20]
    assert list(texts(20, seed=4)) != ROWS[:20]
    assert len({row["prompt_text"] for row in ROWS}) > 1000


def test_no_scene_is_a_clip_of_a_data_set(monkeypatch: pytest.MonkeyPatch):
    used = []
    composed = "avcap.scenes.texts.compose"
    monkeypatch.setattr(composed, lambda *args, **more: used.append(compose(*args, **more)) or used[-1])
    list(texts(50, seed=0))
    clips = {scene.id for scene in islice(dataset.Settings(train=50, seed=0).scenes(), 50)}
    assert len(clips) == 50
    assert not {scene.id for scene in used} & clips
    with pytest.raises(ValueError, match="seed must be from 0 to 4294967295"):
        dataset.Settings(seed=used[0].seed)


def test_what_is_seen_is_copied_and_has_the_words_of_image_captions():
    seen = [row for row in ROWS if row["task"] == "see"]
    assert all(row["text"] == row["prompt_text"] for row in seen)
    assert len(seen) / len(ROWS) == pytest.approx(1 / 3, abs=0.05)  # 4 standard deviations
    known = {word for k in range(300) for row in image_captions(compose(0, k)) for word in row["caption"].split()}
    assert {word for row in seen for word in row["text"].replace(",", "").split()} <= known | {"then"}


def test_one_moment_and_all_of_them_are_told():
    several = [row for row in ROWS if ", then " in row["prompt_text"]]
    assert 0.1 < len(several) / len(ROWS) < 0.4


def test_things_that_look_alike_sound_either_way_and_others_do_not():
    dogs = Counter(
        next((word for word in ("bark", "growl", "snarl", "whimper", "whin") if word in row["text"]), "none")
        for row in HEARD
        if " dog " in f" {row['prompt_text']} "
    )
    assert dogs["bark"] > 0
    assert dogs["growl"] + dogs["snarl"] > 0
    assert dogs["whimper"] + dogs["whin"] > 0
    boats = [row["text"] for row in HEARD if "motorboat" in row["prompt_text"]]
    assert any("boat" in text for text in boats)
    assert not any(word in text for text in boats for word in ("truck", "motorcycle", "motorbike"))


def test_the_command_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "below" / "texts.jsonl"
    main(["dali", "texts", "--out", str(path), "--count", "30", "--seed", "3"])
    assert [json.loads(line) for line in path.read_text().splitlines()] == ROWS[:30]
    assert capsys.readouterr().out == f"{path}\n"


def test_wrong_numbers_are_named():
    with pytest.raises(ValueError, match="count must be at least 1 and seed from 0 to 4294967295, got 0 and 1"):
        texts(0)
