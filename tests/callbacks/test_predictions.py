"""`avcap predict` and the file it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lightning.pytorch import LightningModule

from avcap.callbacks import WritePredictions
from avcap.cli import main
from tests.end_to_end.program import options


@pytest.mark.parametrize("split", ["test", "val"])
def test_every_clip_of_a_split_is_captioned_once(split: str, demo_root: Path, tiny_run: Path, tmp_path: Path):
    checkpoint = ("--ckpt_path", str(tiny_run / "checkpoints" / "last.ckpt"))
    path = tmp_path / "captions" / "mine.jsonl"
    more = ("--trainer.logger", "false", "--data.init_args.clips.predict_split", split, "--predictions.path", str(path))
    main(["predict", *options(demo_root, tmp_path / "run", *more, *checkpoint)])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    info = json.loads((demo_root / "shards" / split / "info.json").read_text())
    assert [row["id"] for row in rows] == info["ids"]
    if split == "test":  # the captions that `avcap test` scored
        tested = [json.loads(line) for line in (tiny_run / "predictions.jsonl").read_text().splitlines()]
        assert {row["id"]: row["caption"] for row in rows} == {row["id"]: row["caption"] for row in tested}
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_several_captions_a_clip(demo_root: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    more = ("--trainer.logger", "false", "--ckpt_path", str(tiny_run / "checkpoints" / "last.ckpt"))
    main(["predict", *options(demo_root, tmp_path, *more, "--predictions.nbest", "2")])
    rows = [json.loads(line) for line in (tmp_path / "captions_test.jsonl").read_text().splitlines()]
    single = [json.loads(line) for line in (tiny_run / "predictions.jsonl").read_text().splitlines()]
    assert {row["id"]: row["caption"] for row in rows} == {row["id"]: row["caption"] for row in single}
    for row in rows:
        assert row["captions"][0] == row["caption"]
        assert len(row["captions"]) == len(row["log_probs"]) == 2
        assert row["log_probs"] == sorted(row["log_probs"], reverse=True)
    capsys.readouterr()
    references = tiny_run / "predictions.jsonl"  # it holds the references, too
    main(["score", str(tmp_path / "captions_test.jsonl"), str(references), "--json", "--metrics", "[rouge_l]"])
    scores = json.loads(capsys.readouterr().out)
    assert scores["nbest"] == 2
    assert scores["rouge_l_max"] >= scores["rouge_l"]


def test_one_caption_where_several_are_wanted_is_an_error():
    with pytest.raises(ValueError, match=r"predictions\.nbest is 1; give 2 or more"):
        WritePredictions(nbest=1)
    with pytest.raises(ValueError, match=r"LightningModule makes one caption a clip; leave predictions\.nbest out"):
        WritePredictions(nbest=2).on_predict_start(None, LightningModule())
