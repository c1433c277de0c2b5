"""What chooses the best checkpoint is told at the start, kept in the checkpoint, and told beside every score."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from avcap.cli import main
from avcap.ids import id_hash
from avcap.shards.reader import ShardInfo
from avcap.study.protocol import read_protocol
from tests.end_to_end.program import options

CLIPS = "--data.init_args.clips"
QUICK = (
    *(
        f"{CLIPS}.limit",
        "4",
        "--data.init_args.num_workers",
        "0",
        "--trainer.logger",
        "false",
        "--samples.captions",
        "0",
    ),
    *("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1", "--trainer.enable_progress_bar", "false"),
)


@pytest.fixture(scope="module")
def two(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set whose shards are of train and test alone."""
    root = tmp_path_factory.mktemp("two")
    (root / "tokenizer").symlink_to(demo_root / "tokenizer")
    (root / "shards").mkdir()
    for split in ("train", "test"):
        (root / "shards" / split).symlink_to(demo_root / "shards" / split)
    return root


def best(run: Path) -> dict:
    return torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)


def test_without_a_val_split_the_ways_out_are_told_and_the_last_state_is_the_best(two: Path, tmp_path: Path, caplog):
    main(["fit", *options(two, tmp_path, *QUICK, "--trainer.max_epochs", "3", "--trainer.max_steps", "2")])
    said = caplog.messages
    assert any(f"{two / 'shards'} has no val split" in told and "clips.paper_protocol true" in told for told in said)
    assert "No validation gives val/cider_d or val/loss: best.ckpt is the state of the last epoch." in said
    assert best(tmp_path)["global_step"] == 2
    assert best(tmp_path)["callbacks"]["SaveBest"]["step"] is None


def test_selection_on_test_marks_everything(two: Path, tmp_path: Path, caplog, capsys, monkeypatch):
    ids = tmp_path / "ids.txt"
    wanted = ShardInfo.load(two / "shards" / "test").ids[:3]
    ids.write_text("\n".join([*wanted, "gone"]))
    run = tmp_path / "run"
    lists = (f"{CLIPS}.ids", json.dumps({"test": str(ids)}))
    main(
        [
            "fit",
            *options(
                two, run, *QUICK, *lists, f"{CLIPS}.paper_protocol", "true", "--trainer.num_sanity_val_steps", "1"
            ),
        ]
    )
    assert "best.ckpt is the state with the highest val/cider_d on 3 clips (test)." in caplog.messages
    assert any("selected on test" in told for told in caplog.messages)
    assert best(run)["callbacks"]["SaveBest"]["validation"] == {"split": "test", "ids": wanted}

    tested = (
        "--trainer.enable_checkpointing",
        "false",
        "--results.baselines",
        "false",
        "--results.maps",
        "0",
        "--ckpt_path",
        "best",
    )
    load, reads = torch.load, []
    monkeypatch.setattr(torch, "load", lambda path, **how: (reads.append(path), load(path, **how))[1])
    main(
        ["test", *options(two, run, *QUICK, *lists, *tested)]
    )  # the mark follows from the checkpoint, not from the config
    assert [Path(path).name for path in reads] == ["best.ckpt"]  # once
    selection = json.loads((run / "results.json").read_text())["settings"]["selection"]
    assert (selection["by"], selection["split"], selection["clips"]) == ("val/cider_d", "test", 3)
    assert selection["on_test"] is True
    assert selection["id_hash"] == id_hash(wanted)
    protocol = read_protocol(run)
    assert (protocol.split, protocol.clips, protocol.id_hash, protocol.ids) == ("test", 3, id_hash(wanted), str(ids))
    assert protocol.on_test
    assert protocol.seed == 0
    assert protocol.row()["selection"] == "val/cider_d on test (3 clips), selected on test"
    assert protocol.decoding["num_beams"]
    capsys.readouterr()
    main(["summary", str(run)])
    assert capsys.readouterr().out.count("selected on test") == 2
    main(["report", str(run), "--out", str(tmp_path / "report")])
    for name in ("report.md", "report.html", "report.tex", "report.csv"):
        assert "selected on test" in (tmp_path / "report" / name).read_text(), name

    others = ShardInfo.load(two / "shards" / "test").ids[3:6]
    ids.write_text("\n".join(others))  # other clips have not chosen it
    main(
        [
            "test",
            *options(two, tmp_path / "others", *QUICK, *lists, *tested[:-1], str(run / "checkpoints" / "best.ckpt")),
        ]
    )
    assert not read_protocol(tmp_path / "others").on_test


def test_a_share_of_train_may_choose(two: Path, tmp_path: Path, caplog):
    more = (f"{CLIPS}.val", "0.2", f"{CLIPS}.limit", "2", "--trainer.num_sanity_val_steps", "0")
    main(["fit", *options(two, tmp_path, *QUICK, *more)])
    told = "best.ckpt is the state with the highest val/cider_d (or the lowest val/loss, where that score cannot be computed)"
    assert f"{told} on 2 clips (cut from train)." in caplog.messages
    assert best(tmp_path)["callbacks"]["SaveBest"]["validation"]["split"] == "cut from train"
