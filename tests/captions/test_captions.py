"""Caption files in every layout that the field uses, and the search for media."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avcap.captions import Entry, find_caption_file, read_captions
from avcap.shards.manifest import MediaIndex, find_clips
from tests.media_files import write_csv


def _touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_rows_are_joined_into_clips_by_id_and_start(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "test.csv",
        ("audiocap_id", "youtube_id", "start_time", "caption"),
        [(1, "aaaaaaaaaaa", 30, "one"), (2, "bbbbbbbbbbb", "2.5", "two"), (3, "aaaaaaaaaaa", 30, "three")],
    )
    entries = read_captions(path)
    assert [(e.id, e.captions) for e in entries] == [("aaaaaaaaaaa_30", ["one", "three"]), ("bbbbbbbbbbb_2.5", ["two"])]


def test_a_missing_column_is_named_with_the_file_and_what_it_has(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "train.csv", ("youtube_id", "text"), [("a", "b")])
    with pytest.raises(
        ValueError, match=r"train\.csv lacks the column caption .* and start_time; it has youtube_id, text"
    ):
        read_captions(path)


@pytest.mark.parametrize(
    ("row", "message"),
    [(("a", "x", "hello"), "line 2: start_time 'x' is not a number"), (("a", 1, " "), "line 2: the caption is empty")],
)
def test_a_bad_row_is_named(tmp_path: Path, row: tuple[object, ...], message: str) -> None:
    path = write_csv(tmp_path / "train.csv", ("youtube_id", "start_time", "caption"), [row])
    with pytest.raises(ValueError, match=message):
        read_captions(path)


def test_clotho_and_plain_file_lists(tmp_path: Path) -> None:
    clotho = write_csv(tmp_path / "a.csv", ("file_name", "caption_1", "caption_2"), [("x y.wav", "one", "two")])
    assert read_captions(clotho)[0] == Entry("x y", ["one", "two"], file="x y.wav")
    plain = write_csv(tmp_path / "b.csv", ("path", "caption"), [("dog/1.ogg", "one"), ("dog/1.ogg", "two")])
    assert read_captions(plain) == [Entry("dog/1", ["one", "two"], file="dog/1.ogg")]


def test_the_json_layout_takes_its_captions_from_the_coco_file(tmp_path: Path) -> None:
    row = {"youtube_id": "abc", "start_time": "20", "caption": "a", "audio_path": "abc_20000_30000.wav"}
    (tmp_path / "test.json").write_text(json.dumps([row]))
    coco = {
        "images": [{"id": "abc", "audio_path": "abc_20000_30000.wav"}],
        "annotations": [{"image_id": "abc", "caption": c} for c in "abcde"],
    }
    (tmp_path / "test_coco.json").write_text(json.dumps(coco))
    for name in ("test.json", "test_coco.json"):
        (entry,) = read_captions(tmp_path / name)
        assert (entry.id, entry.captions) == ("abc_20", list("abcde"))
        assert "abc_20000_30000" in entry.names
    assert find_caption_file(tmp_path, "test") == tmp_path / "test.json"
    assert find_caption_file(tmp_path, "val") is None


def test_a_json_row_without_a_field_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(json.dumps([{"youtube_id": "abc", "caption": "a"}]))
    with pytest.raises(
        ValueError, match=r"train\.json, clip 0: the field start_time is missing; it has youtube_id, caption"
    ):
        read_captions(tmp_path / "train.json")


@pytest.mark.parametrize(
    "name",
    [
        "videos/abc-_9_30.mp4",
        "abc-_9_30.000.mkv",
        "deep/er/Yabc-_9_30000_40000.mp4",
        "waveforms/abc-_9_30000_38000.wav",
        "Yabc-_9.flac",
        "abc-_9.mp4",
    ],
)
def test_media_are_found_under_the_usual_names(tmp_path: Path, name: str) -> None:
    _touch(tmp_path, name, "other_30.mp4", "abc-_9_60.mp4")
    clip = MediaIndex([tmp_path]).find(Entry("abc-_9_30", ["a"], youtube_id="abc-_9", start=30.0))
    assert clip.audio == tmp_path / name
    assert clip.frames == (() if name.endswith(("wav", "flac")) else (tmp_path / name,))


def test_the_official_folders_give_sound_numbered_frames_and_features(tmp_path: Path) -> None:
    _touch(tmp_path, "waveforms/abc_20000_30000.wav", "visual_feature/abc_20000_30000.npy")
    _touch(tmp_path, *(f"frames/frame_{k}/abc_20000_30000.jpg" for k in range(12)))
    clip = MediaIndex([tmp_path]).find(Entry("abc_20", ["a"], youtube_id="abc", start=20.0))
    assert clip.audio == tmp_path / "waveforms/abc_20000_30000.wav"
    assert [p.parent.name for p in clip.frames] == [f"frame_{k}" for k in range(12)]
    assert clip.features == tmp_path / "visual_feature/abc_20000_30000.npy"


def test_pictures_in_a_folder_of_the_clips_name_and_single_pictures(tmp_path: Path) -> None:
    _touch(tmp_path, "frames/abc_20/2.jpg", "frames/abc_20/10.jpg", "frames/xyz_5.jpg")
    index = MediaIndex([tmp_path])
    clip = index.find(Entry("abc_20", ["a"], youtube_id="abc", start=20.0))
    assert [p.name for p in clip.frames] == ["2.jpg", "10.jpg"]
    assert index.find(Entry("xyz_5", ["a"], youtube_id="xyz", start=5.0)).frames == (tmp_path / "frames/xyz_5.jpg",)


def test_files_of_one_name_in_two_folders_are_kept_apart(tmp_path: Path) -> None:
    _touch(tmp_path, "dog/1.ogg", "cat/1.ogg")
    entries = [Entry("cat/1", ["a"], file="cat/1.ogg"), Entry("owl/1", ["b"], file="owl/1.ogg")]
    clips, missing = find_clips(entries, MediaIndex([tmp_path]))
    assert [c.audio for c in clips] == [tmp_path / "cat/1.ogg"]
    assert missing == ["owl/1"]


def test_the_published_caption_files(shared_data: Path) -> None:
    counts = {}
    for name in ("audiocaps/train.csv", "audiocaps/val.csv", "audiocaps/test.csv", "audiocaps2/test.csv"):
        entries = read_captions(shared_data / name)
        counts[name] = (len(entries), sum(len(e.captions) for e in entries))
    assert counts["audiocaps/train.csv"] == (49_838, 49_838)
    assert counts["audiocaps/val.csv"] == (495, 2_475)
    assert counts["audiocaps/test.csv"] == (975, 4_875)
    official = read_captions(shared_data / "audiocaps_official_layout" / "test.json")
    assert (len(official), sum(len(e.captions) for e in official)) == (944, 4_720)
    assert {e.id for e in official} <= {e.id for e in read_captions(shared_data / "audiocaps/test.csv")}
