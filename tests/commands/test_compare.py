from __future__ import annotations

import json
from pathlib import Path

import pytest

from avcap.cli import main

SCENES = {"a": "plain", "b": "sound_alike", "c": "sound_alike"}


def make_run(folder: Path, scores: dict[str, float], id_hash: str = "abc") -> Path:
    folder.mkdir()
    results = {"name": "x", "scores": {}, "clips": len(scores), "id_hash": id_hash}
    (folder / "results.json").write_text(json.dumps(results))
    rows = [{"id": clip, "caption": "", "scores": {"cider_d": score}} for clip, score in scores.items()]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps({"id": clip, "scene": scene}) + "\n" for clip, scene in SCENES.items()))
    return path


def test_means_by_scene(tmp_path, events, capsys):
    one = make_run(tmp_path / "one", {"a": 1.0, "b": 0.5, "c": 0.25})
    two = make_run(tmp_path / "two", {"a": 2.0, "b": 0.0, "c": 0.0})
    main(["compare", str(one), str(two), f"--events={events}"])
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["CIDEr-D × 100", "plain (1)", "sound_alike (2)", "all"]
    assert lines[2] == [str(one), "100.0", "37.5", "58.3"]
    assert lines[3] == [str(two), "200.0", "0.0", "66.7"]


def test_runs_on_different_clips_are_refused(tmp_path, events, capsys):
    one = make_run(tmp_path / "one", {"a": 1.0})
    two = make_run(tmp_path / "two", {"b": 1.0}, id_hash="xyz")
    with pytest.raises(SystemExit, match="1"):
        main(["compare", str(one), str(two), f"--events={events}"])
    assert "different clips (abc, xyz)" in capsys.readouterr().err


def test_a_metric_without_clip_scores_is_named(tmp_path, events, capsys):
    one = make_run(tmp_path / "one", {"a": 1.0})
    with pytest.raises(SystemExit):
        main(["compare", str(one), f"--events={events}", "--metric=vocab"])
    assert "has no vocab of a" in capsys.readouterr().err
