from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from avcap.ids import id_hash
from avcap.study.report.collect import choose_baselines, find_runs, group_runs, short_names


def make_run(folder: Path, scores: dict[str, float], *, config: str = "seed_everything: 7\n") -> Path:
    folder.mkdir(parents=True)
    mean = sum(scores.values()) / len(scores)
    results = {"name": "x", "scores": {"cider_d": mean}, "clips": len(scores), "id_hash": id_hash(scores)}
    (folder / "results.json").write_text(json.dumps(results))
    rows = [{"id": i, "caption": "a", "scores": {"cider_d": s}} for i, s in scores.items()]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.yaml").write_text(config)
    return folder


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    for axis, variant, seed, score in [
        ("frames", "16", "0", 0.1),
        ("frames", "16", "1", 0.3),
        ("frames", "8", "seed_0", 0.5),
        ("loss", "none", "0", 0.7),
    ]:
        make_run(tmp_path / "matrix" / axis / variant / seed, {"a": score, "b": 2 * score})
    return tmp_path


def test_a_matrix_is_grouped_by_axis_variant_and_seed(matrix):
    make_run(matrix / "demo", {"a": 0.0, "b": 1.0})
    runs = find_runs([matrix])
    assert [(run.axis, run.variant, run.seed) for run in runs] == [
        ("", "demo", "7"),  # a run that stands alone takes its seed from the config
        ("frames", "8", "0"),
        ("frames", "16", "0"),
        ("frames", "16", "1"),
        ("loss", "none", "0"),
    ]
    (group,) = group_runs(runs)
    assert [cell.name for cell in group.cells] == ["demo", "frames/8", "frames/16", "loss/none"]
    sixteen = group.cells[2]
    np.testing.assert_allclose(sixteen.scores("cider_d"), [0.15, 0.45])
    np.testing.assert_allclose(sixteen.clip_scores("cider_d", ["b", "a"]), [0.4, 0.2])  # means over the two seeds
    assert sixteen.clip_scores("spice", ["a"]) is None
    assert group.clip_metrics == ["cider_d"]


def test_a_run_named_twice_counts_once_and_the_order_given_is_kept(matrix):
    runs = find_runs([matrix / "matrix/loss", matrix, matrix / "matrix/frames/8"])
    assert [run.variant for run in runs] == ["none", "8", "16", "16"]


def test_a_run_linked_into_another_axis_counts_there_too(matrix):
    root = matrix / "matrix"
    (root / "loss" / "same").mkdir()
    (root / "loss" / "same" / "0").symlink_to("../../frames/8/seed_0")
    (root / "loop").symlink_to(root)
    (group,) = group_runs(find_runs([root]))
    assert [cell.name for cell in group.cells] == ["frames/8", "frames/16", "loss/none", "loss/same"]
    assert [cell.name for cell in group.captioned] == ["frames/8", "frames/16", "loss/none"]  # the same captions once
    baselines = choose_baselines([group], "frames/8")
    assert {axis: cell.name for (_, axis), cell in baselines.items()} == {"frames": "frames/8", "loss": "loss/same"}


def test_runs_of_one_name_are_told_apart(tmp_path):
    runs = find_runs([make_run(tmp_path / "one" / "demo", {"a": 1.0}), make_run(tmp_path / "two" / "demo", {"a": 1.0})])
    assert [run.variant for run in runs] == ["one/demo", "two/demo"]
    names = short_names([Path("/x/b"), Path("/b"), Path("/c")])
    assert names == {Path("/x/b"): "x/b", Path("/b"): "/b", Path("/c"): "c"}


def test_other_clips_make_another_group(tmp_path):
    make_run(tmp_path / "one", {"a": 1.0, "b": 0.0})
    make_run(tmp_path / "two", {"a": 1.0})
    groups = group_runs(find_runs([tmp_path]))
    assert [(group.count, [cell.name for cell in group.cells]) for group in groups] == [(2, ["one"]), (1, ["two"])]
    # a baseline that was tested on one list is none for the other
    assert list(choose_baselines(groups, "two")) == [(groups[1].id_hash, "")]


def test_baselines(matrix):
    make_run(matrix / "demo", {"a": 0.0, "b": 1.0})
    groups = group_runs(find_runs([matrix]))

    def chosen(name: str | None) -> dict[str, str]:
        return {axis: cell.name for (_, axis), cell in choose_baselines(groups, name).items()}

    assert chosen(None) == {"": "demo", "frames": "frames/8", "loss": "loss/none"}
    assert chosen("16") == dict.fromkeys(("", "frames", "loss"), "frames/16")
    assert chosen("loss/none") == dict.fromkeys(("", "frames", "loss"), "loss/none")
    with pytest.raises(ValueError, match="no run called base to compare with; there are demo, frames/8"):
        chosen("base")


def test_damage_is_named(tmp_path):
    run = make_run(tmp_path / "run", {"a": 1.0})
    with pytest.raises(FileNotFoundError, match=r"no results\.json in or below .*nothing"):
        find_runs([tmp_path / "nothing"])
    (run / "config.yaml").write_text("a: [1")
    with pytest.raises(ValueError, match=r"config\.yaml is no YAML"):
        find_runs([run])
    (run / "config.yaml").unlink()
    (run / "predictions.jsonl").write_text('{"id": "b", "caption": ""}\n')
    with pytest.raises(ValueError, match="are of different clips"):
        find_runs([run])
    (run / "predictions.jsonl").write_text('{"id": "b"}\n')
    with pytest.raises(ValueError, match=r"predictions\.jsonl, line 1: needs"):
        find_runs([run])
    (run / "predictions.jsonl").unlink()
    (found,) = find_runs([run])  # neither config nor predictions: scores alone
    assert (found.rows, found.config, found.setting("data.init_args.shards")) == ({}, {}, None)
    assert group_runs([found])[0].clip_metrics == []
