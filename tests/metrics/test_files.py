"""Ids, references by several names, and predictions.jsonl."""

from __future__ import annotations

import subprocess
import sys

import pytest

from avcap.ids import clip_id, id_hash
from avcap.metrics.predictions import read_predictions, write_predictions
from avcap.metrics.references import References


def test_ids():
    assert clip_id("7fmOlUlwoNg", "20") == clip_id("7fmOlUlwoNg", 20.0) == "7fmOlUlwoNg_20"
    assert clip_id("a", 20.5) == "a_20.5"
    assert id_hash(["b", "a"]) == id_hash(["a", "b"])
    assert id_hash(["b", "a"]) == "7e18f737311b"  # sha256 of "a\\nb"


def test_predictions_by_bare_or_full_id():
    known = References({"x_0": ["r"], "y_5": ["s"]}, {"x": {"x_0"}, "y": {"y_5"}})
    assert known.rename([("x", "one"), ("y_5", "two")]) == {"x_0": "one", "y_5": "two"}
    assert known.rename([("z", "three")]) == {"z": "three"}
    with pytest.raises(ValueError, match="1 ids have more than one prediction: x_0"):
        known.rename([("x", "one"), ("x_0", "two")])


def test_a_bare_id_of_two_clips_is_refused():
    known = References({"x_0": ["r"], "x_9": ["s"]}, {"x": {"x_0", "x_9"}})
    with pytest.raises(ValueError, match="write youtube_id_start: x"):
        known.rename([("x", "one")])


def test_predictions_survive_the_file(tmp_path):
    rows = [{"id": "x_0", "caption": "a café\u2028", "references": ["r"], "scores": {"cider_d": 1.5}}]
    write_predictions(tmp_path / "deep" / "predictions.jsonl", rows)
    assert read_predictions(tmp_path / "deep" / "predictions.jsonl") == [("x_0", ["a café\u2028"])]
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["predictions.jsonl"]


def test_several_captions_a_clip(tmp_path):
    path = tmp_path / "predictions.jsonl"
    path.write_text('{"id": "w_0", "captions": ["rain", "wind"]}\n{"id": 7, "caption": "a", "captions": ["a"]}\n')
    assert read_predictions(path) == [("w_0", ["rain", "wind"]), ("7", ["a"])]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{oops", "line 2: not valid JSON"),
        ('{"id": "x"}', "line 2: needs `id` and a text `caption`, or a list of texts `captions`"),
        ('{"id": "x", "captions": []}', "line 2: needs `id` and"),
        ('{"id": "x", "captions": ["rain", 1]}', "line 2: needs `id` and"),
        ('{"id": "x", "caption": "wind", "captions": ["rain"]}', "line 2: `caption` is not the first of `captions`"),
        ("[1]", "line 2: expected an object"),
    ],
)
def test_a_faulty_line_is_named(tmp_path, line, message):
    path = tmp_path / "predictions.jsonl"
    path.write_text('{"id": "w_0", "caption": "rain"}\n' + line + "\n")
    with pytest.raises(ValueError, match=message):
        read_predictions(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*absent\.jsonl"):
        read_predictions(tmp_path / "absent.jsonl")


def test_importing_the_package_is_light():
    code = "import sys, avcap.metrics; avcap.metrics.evaluate; print([m for m in ('torch', 'torchmetrics', 'aac_metrics') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
