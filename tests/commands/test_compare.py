from __future__ import annotations

import json
from pathlib import Path

import pytest

from avcap.cli import main
from avcap.ids import id_hash

SCENES = {"a": "plain", "b": "sound_alike", "c": "sound_alike"}


def make_run(folder: Path, scores: dict[str, float], metric: str = "cider_d") -> Path:
    folder.mkdir(parents=True)
    results = {"name": "x", "scores": {}, "clips": len(scores), "id_hash": id_hash(scores)}
    (folder / "results.json").write_text(json.dumps(results))
    rows = [{"id": clip, "caption": "", "scores": {metric: score}} for clip, score in scores.items()]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps({"id": clip, "scene": scene}) + "\n" for clip, scene in SCENES.items()))
    return path


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]


def test_means_by_scene_and_of_all(tmp_path, events, capsys):
    one = make_run(tmp_path / "one", {"a": 1.0, "b": 0.5, "c": 0.25})
    two = make_run(tmp_path / "two", {"a": 2.0, "b": 0.0, "c": 0.0})
    main(["compare", str(one), str(two), f"--events={events}"])
    head, _, *rows = cells(capsys.readouterr().out)
    assert head == ["CIDEr-D × 100", "plain (1)", "sound-alike (2)", "all"]
    assert rows == [["one", "100.0", "37.5", "58.3"], ["two", "200.0", "0.0", "66.7"]]


def test_seeds_of_a_variant_are_one_row(tmp_path, events, capsys):
    for seed, value in enumerate((0.25, 0.75)):
        make_run(tmp_path / "fusion" / "concat" / str(seed), {"a": value, "b": 1.0, "c": 0.0})
    main(["compare", str(tmp_path / "fusion"), f"--events={events}"])
    assert cells(capsys.readouterr().out)[2:] == [["fusion/concat (2 seeds)", "50.0", "50.0", "50.0"]]


def test_runs_on_different_clips_are_refused(tmp_path, events, capsys):
    one = make_run(tmp_path / "one", {"a": 1.0})
    two = make_run(tmp_path / "two", {"b": 1.0})
    with pytest.raises(SystemExit, match="1"):
        main(["compare", str(one), str(two), f"--events={events}"])
    hashes = ", ".join(sorted(map(id_hash, (["a"], ["b"]))))
    assert f"different clips ({hashes})" in capsys.readouterr().err


def test_a_run_that_lacks_the_metric_is_named(tmp_path, events, capsys):
    new = make_run(tmp_path / "new", {"a": 1.0, "b": 0.5, "c": 0.5}, metric="named_recall")
    old = make_run(tmp_path / "old", {"a": 1.0, "b": 0.5, "c": 0.5})
    main(["compare", str(new), str(old), f"--events={events}", "--metric=named_recall"])
    out = capsys.readouterr().out
    assert cells(out)[3] == ["old", "–", "–", "–"]
    assert out.splitlines()[-1] == "No named_recall of every clip: old; run `avcap test` again."


def test_a_metric_that_no_run_has_is_an_error(tmp_path, events, capsys):
    one = make_run(tmp_path / "one", {"a": 1.0})
    with pytest.raises(SystemExit, match="1"):
        main(["compare", str(one), f"--events={events}", "--metric=vocab"])
    assert "No vocab of every clip: one" in capsys.readouterr().err


def test_an_events_file_without_kinds_is_an_error(tmp_path, events, capsys):
    one = make_run(tmp_path / "one", {"a": 1.0})
    events.write_text(json.dumps({"id": "a"}) + "\n")
    with pytest.raises(SystemExit, match="1"):
        main(["compare", str(one), f"--events={events}"])
    assert "tells of no clip what kind of scene it is" in capsys.readouterr().err
