"""`avcap predict` and the file it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avcap.cli import main
from tests.end_to_end.program import options


@pytest.mark.parametrize("split", ["test", "val"])
def test_every_clip_of_a_split_is_captioned_once(split: str, demo_root: Path, tiny_run: Path, tmp_path: Path):
    checkpoint = ("--ckpt_path", str(tiny_run / "checkpoints" / "last.ckpt"))
    path = tmp_path / "captions" / "mine.jsonl"
    more = ("--trainer.logger", "false", "--data.init_args.predict_split", split, "--predictions.path", str(path))
    main(["predict", *options(demo_root, tmp_path / "run", *more, *checkpoint)])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    info = json.loads((demo_root / "shards" / split / "info.json").read_text())
    assert [row["id"] for row in rows] == sorted(info["ids"])
    if split == "test":  # the captions that `avcap test` scored
        tested = [json.loads(line) for line in (tiny_run / "predictions.jsonl").read_text().splitlines()]
        assert {row["id"]: row["caption"] for row in rows} == {row["id"]: row["caption"] for row in tested}
    assert not (tmp_path / "run" / "config.yaml").exists()
