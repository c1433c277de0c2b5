"""Captions in JSON: each layout's fields, and what is refused by entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avcap.captions import EntryList, read_captions
from avcap.captions.documents import read_document

ROW = {"youtube_id": "aaaaaaaaaaa", "start_time": "30", "caption": "one"}
IMAGE = {"id": 1, "file_name": "a.wav"}
NOTE = {"image_id": 1, "id": 7, "caption": "one"}


def _read(tmp_path: Path, content: Any) -> EntryList:
    path = tmp_path / "test.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_captions(path)


def test_wavcaps_gives_each_of_its_four_sources(tmp_path: Path) -> None:
    rows = [
        {"id": "Yb0RFKhbpFJA.wav", "caption": "wind", "audio": "wav_path", "duration": 10.0},  # AudioSet
        {"title": "t", "description": "d", "href": "h", "caption": "rain", "id": "07042184", "duration": 99.5},  # BBC
        {
            "id": 180913,
            "file_name": "x y.aiff",
            "href": "/p",
            "tags": ["a"],
            "caption": "a dog",
            "duration": 3,
        },  # FreeSound
    ]
    entries = _read(tmp_path, {"num_captions_per_audio": 1, "data": rows})
    assert [(e.id, e.captions, e.names) for e in entries] == [
        ("Yb0RFKhbpFJA", ["wind"], ["Yb0RFKhbpFJA"]),
        ("07042184", ["rain"], ["07042184"]),
        ("180913", ["a dog"], ["180913"]),
    ]
    soundbible = [{"title": "t", "href": "2219-x.html", "caption": "a bell", "id": "2219", "duration": 1.5}]
    assert [(e.id, e.captions) for e in _read(tmp_path, soundbible)] == [("2219", ["a bell"])]


def test_wavcaps_with_several_captions_and_paths(tmp_path: Path) -> None:
    row = {"caption_1": "one", "caption_2": "two", "wav": "x"}
    rows = [{**row, "audio": "/home/u/val/Yvf.wav"}, {**row, "audio": "val/b.wav"}]
    entries = _read(tmp_path, {"data": rows, "num_captions_per_audio": 5})
    assert [(e.id, e.captions, e.file) for e in entries] == [
        ("Yvf", ["one", "two"], None),
        ("val/b", ["one", "two"], "val/b.wav"),
    ]
    with pytest.raises(ValueError, match=r"test\.json: the id Yvf comes twice"):
        _read(tmp_path, {"data": [{**row, "audio": "/val/Yvf.wav"}, {**row, "audio": "/test/Yvf.wav"}]})


def test_an_image_without_caption_is_left_out_by_name(tmp_path: Path) -> None:
    images = [IMAGE, {"id": 2, "file_name": "b.wav"}, {"id": "3", "file_name": "1.wav"}]
    notes = [NOTE, {"image_id": "3", "caption": "three"}, {"image_id": 99, "caption": "x"}, {**NOTE, "caption": "four"}]
    entries = _read(tmp_path, {"images": images, "annotations": notes})
    assert [(e.id, e.file, e.captions) for e in entries] == [("1", "a.wav", ["one", "four"]), ("3", "1.wav", ["three"])]
    assert entries.notes == [
        f"{tmp_path}/test.json: an image has no caption and is left out: 2.",
        f"{tmp_path}/test.json: captions of an image that is not listed are left out: 99.",
    ]


def test_a_file_name_is_of_youtube_only_if_it_looks_like_it(tmp_path: Path) -> None:
    names = ["img_2014_9001.jpg", "abcdefghijk_20000_30000.wav", "abcdefghijk_30_20.wav"]
    images = [{"id": k, "file_name": name} for k, name in enumerate(names)]
    notes = [{**NOTE, "image_id": k} for k in range(3)]
    entries = _read(tmp_path, {"images": images, "annotations": notes})
    assert [(e.id, e.file, e.start) for e in entries] == [
        ("0", "img_2014_9001.jpg", None),
        ("abcdefghijk_20", None, 20.0),
        ("2", "abcdefghijk_30_20.wav", None),
    ]


def test_images_of_one_stem_keep_to_their_own_files(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "x.wav"}, {"id": 2, "file_name": "x.flac"}]
    entries = _read(tmp_path, {"images": images, "annotations": [NOTE, {**NOTE, "image_id": 2}]})
    assert [(e.id, e.exact) for e in entries] == [("1", True), ("2", True)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{**ROW, "caption": None}], "clip 0: the field caption is null; it must be a text, or a list of texts"),
        ([ROW, {**ROW, "caption": " "}], 'clip 1: the field caption is " "; it must'),
        ([{**ROW, "caption": []}], r"clip 0: the field caption is \[\]; it must"),
        ([{**ROW, "caption": ["a", 1]}], r'clip 0: the field caption is \["a", 1\]; it must'),
        ([{**ROW, "caption": {"a": 1}}], "clip 0: the field caption is .*; it must"),
        ([{**ROW, "youtube_id": 5}], "clip 0: the field youtube_id is 5; it must be a text"),
        ([{**ROW, "youtube_id": ""}], "clip 0: youtube_id is empty"),
        ([{**ROW, "youtube_id": "a\nb"}], "clip 0: youtube_id .* holds a control character"),
        ([{**ROW, "start_time": True}], "clip 0: the field start_time is true; it must be a number of seconds"),
        ([{**ROW, "start_time": "nan"}], 'clip 0: the field start_time is "nan"; it must be a number of seconds'),
        ('[{"youtube_id": "a", "start_time": NaN, "caption": "x"}]', "clip 0: the field start_time is NaN; it must"),
        ([{**ROW, "start_time": -1}], "clip 0: the field start_time is -1; it must"),
        ([{**ROW, "audio_path": 3}], "clip 0: the field audio_path is 3; it must be a path"),
        ([ROW, "x"], 'clip 1: this is "x" and not an object with youtube_id and start_time and caption'),
        ([{"id": [1], "caption": "x"}], r"clip 0: the field id is \[1\]; it must be a text or a whole number"),
        ([{"id": None, "caption": "x"}], "clip 0: id and audio are missing"),
        ([{"id": 1, "caption": "x"}, {"id": "1", "caption": "y"}], "the id 1 comes twice"),
        ([{"audio": "../a.wav", "caption": "x"}], r"clip 0: audio '\.\./a\.wav' leaves the folder"),
        (
            {"images": [{"file_name": "a.wav"}], "annotations": [NOTE]},
            r"images\[0\]: the field id is missing; it has file",
        ),
        (
            {"images": [IMAGE], "annotations": [{"id": 1, "caption": "x"}]},
            r"annotations\[0\]: the field image_id is missing",
        ),
        (
            {"images": [IMAGE], "annotations": [{**NOTE, "caption": ""}]},
            r'annotations\[0\]: the field caption is ""; it must',
        ),
        ({"images": [IMAGE, {"id": "1"}], "annotations": [NOTE]}, "the id 1 comes twice"),
        ({"images": {}, "annotations": [NOTE]}, "the field images is {}; it must be a list"),
        ({"images": [{**IMAGE, "file_name": "/a.wav"}], "annotations": [NOTE]}, "image 1: file_name '/a.wav' leaves"),
        ({"data": 3}, "is neither a list of clips, nor WavCaps"),
        ("[{]", "not valid JSON .*column 3"),
        ('[{"caption": "a", "caption": "b"}]', "not valid JSON .the field caption comes twice"),
        ("[" * 100_000, "not valid JSON .it is nested too deeply"),
        (f"[{'9' * 5000}]", "not valid JSON"),
        ('["\\ud800"]', "half a character"),
        ("[]", "holds no caption"),
    ],
)
def test_a_faulty_field_is_named_with_its_entry(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"test\.json.*{message}") as caught:
        _read(tmp_path, content)
    assert "\n" not in str(caught.value)


def test_faults_of_the_coco_file_beside_are_named_with_it(tmp_path: Path) -> None:
    (tmp_path / "test_coco.json").write_text("[]")
    with pytest.raises(ValueError, match=r"test_coco\.json is not a COCO caption file"):
        _read(tmp_path, [ROW])


def test_captions_of_two_clips_of_one_video_stay_apart(tmp_path: Path) -> None:
    """An image's id is the video's; its start is in the path of its sound."""
    images = [{"id": "aaaaaaaaaaa", "audio_path": "aaaaaaaaaaa_90000_100000.wav"}]
    notes = [{"image_id": "aaaaaaaaaaa", "caption": text} for text in ("three", "four")]
    (tmp_path / "test_coco.json").write_text(json.dumps({"images": images, "annotations": notes}))
    entries = _read(tmp_path, [ROW, {**ROW, "start_time": 90, "caption": "two"}])
    assert [(e.id, e.captions) for e in entries] == [("aaaaaaaaaaa_30", ["one"]), ("aaaaaaaaaaa_90", ["three", "four"])]
    assert [(e.id, e.captions) for e in _read(tmp_path, [ROW])] == [
        ("aaaaaaaaaaa_30", ["one"])
    ]  # not the image's start
    (tmp_path / "test_coco.json").write_text(json.dumps({"images": [{"id": "aaaaaaaaaaa"}], "annotations": notes}))
    assert [(e.id, e.captions) for e in _read(tmp_path, [ROW])] == [("aaaaaaaaaaa_30", ["three", "four"])]


@settings(deadline=None)
@given(st.lists(st.text(min_size=1).filter(lambda text: text.strip() == text and "\n" not in text), min_size=1))
def test_well_formed_documents_give_exactly_their_captions(captions: list[str]) -> None:
    captions = [text.encode("utf-8", "ignore").decode() or "x" for text in captions]
    rows = [{"id": f"c{k}", "caption": text} for k, text in enumerate(captions)]
    images = [{"id": row["id"]} for row in rows]
    notes = [{"image_id": row["id"], "caption": row["caption"]} for row in rows]
    for content in (rows, {"data": rows}, {"images": images, "annotations": notes}):
        entries = read_document(Path("x.json"), json.dumps(content))
        assert [(e.id, e.captions) for e in entries] == [(f"c{k}", [text]) for k, text in enumerate(captions)]
