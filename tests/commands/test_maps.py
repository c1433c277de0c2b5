"""`avcap maps` with the tiny system."""

from __future__ import annotations

from pathlib import Path

import pytest

from avcap.cli import main
from avcap.losses.lavcap_plan_contrast import PlanContrast
from avcap.trained.clips import CheckpointClips
from avcap.trained.map_quality import map_quality


@pytest.fixture(scope="module")
def source(tiny_run: Path) -> CheckpointClips:
    return CheckpointClips.open(tiny_run / "checkpoints" / "last.ckpt", shards=None, split="test")


def test_the_less_regularised_the_plan_the_further_it_is_from_uniform(source: CheckpointClips):
    rows = map_quality(source, epsilons=[0.02, 10.0])
    assert list(rows) == [0.02, 10.0]
    sharp, flat = rows.values()
    assert flat["map_gain"] == pytest.approx(1.0, abs=1e-3)
    assert flat["map_gain_shuffled"] == pytest.approx(1.0, abs=1e-3)
    assert abs(sharp["map_gain"] - 1) > abs(flat["map_gain"] - 1)
    assert sharp["map_uniform"] == pytest.approx(flat["map_uniform"])
    assert sharp["map_gain_timed"] == flat["map_gain_timed"] > 1.05  # what sounds is mostly seen at that time


def test_it_agrees_with_what_a_test_logs(source: CheckpointClips, tiny_run: Path):
    import json

    logged = json.loads((tiny_run / "results.json").read_text())["maps"]
    (plan,) = (module for module in source.model.fusion.modules() if isinstance(module, PlanContrast))
    (row,) = map_quality(source, epsilons=[0.1], batch_size=3).values()
    assert plan.epsilon == 0.1
    assert {name: row[name] for name in logged} == pytest.approx(logged, rel=1e-4)  # the test ran in batches of 3, too


def test_table(tiny_run: Path, capsys: pytest.CaptureFixture):
    main(["maps", f"--ckpt_path={tiny_run / 'checkpoints' / 'last.ckpt'}", "--epsilons=[0.1]", "--num_workers=0"])
    out = capsys.readouterr().out.splitlines()
    assert [cell.strip() for cell in out[0].split("|")[1:-1]] == [
        "epsilon", "mass on true pairs", "uniform", "gain", "skill", "gain, shuffled", "gain, time alone",
    ]  # fmt: skip
    assert out[2].startswith("| 0.1 ")
    assert "whose pairs can be told apart" in out[-1]


def test_unknown_times_are_told(source: CheckpointClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("avcap.trained.map_quality.beside_the_shards", lambda _: None)
    with pytest.raises(FileNotFoundError, match=r"There is no events\.jsonl beside .* name one with --events"):
        map_quality(source, epsilons=[0.1])
    empty = tmp_path / "events.jsonl"
    empty.write_text("")
    with pytest.raises(ValueError, match=r"No clip of .* has known events"):
        map_quality(source, epsilons=[0.1], events=empty)
