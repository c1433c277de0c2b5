"""What the program says of bad input, and that nothing written is lost by it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from avcap.cli import main
from avcap.data import AudioCapsDataModule
from avcap.frontends import Inputs
from tests.end_to_end.program import DECODER, options
from tests.media_files import small_set

MODEL = "--model.init_args"
QUIET = ("--trainer.logger", "false")


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr with which the program ends with status 1."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("avcap: error: ")]
    return line


class PoisonedClip(Callback):
    """Makes the sound of one batch not a number.

    Args:
        step: The step at which it happens.
    """

    def __init__(self, step: int) -> None:
        self.step, self.ids = step, []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: dict, batch_idx: int) -> None:
        if trainer.global_step == self.step:
            batch["audio"].fill_(float("nan"))
            Path(trainer.default_root_dir, "poisoned").write_text(json.dumps(batch["id"]))


def test_a_loss_that_is_not_finite_stops_the_run_names_the_clips_and_keeps_the_checkpoint(
    demo_root: Path, tmp_path: Path, capsys
):
    """Ten steps in, in the second epoch: last.ckpt is that of the first."""
    poison = (f"--trainer.callbacks+={__name__}.PoisonedClip", "--trainer.callbacks.step=10")
    error = refused(["fit", *options(demo_root, tmp_path, *QUIET, *poison)], capsys)
    assert "not finite at step 10" in error
    assert all(clip in error for clip in json.loads((tmp_path / "poisoned").read_text()))
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 8


def test_a_checkpoint_of_another_architecture_is_refused(demo_root: Path, tiny_run: Path, tmp_path: Path, capsys):
    checkpoint = ("--ckpt_path", str(tiny_run / "checkpoints" / "last.ckpt"))
    deeper = (f"{MODEL}.audio_encoder.init_args.size.depth", "2")
    error = refused(["test", *options(demo_root, tmp_path, *QUIET, *checkpoint, *deeper)], capsys)
    assert "another architecture" in error
    assert "audio_encoder." in error
    assert not (tmp_path / "results.json").exists()


def test_a_missing_checkpoint_is_named(demo_root: Path, tmp_path: Path, capsys):
    error = refused(["test", *options(demo_root, tmp_path, *QUIET, "--ckpt_path", "nowhere.ckpt")], capsys)
    assert "nowhere.ckpt" in error


def test_missing_shards_are_named_with_the_remedy(demo_root: Path, tmp_path: Path, capsys):
    shards = ("--data.init_args.shards", str(tmp_path / "none"))
    error = refused(["fit", *options(demo_root, tmp_path, *QUIET, *shards)], capsys)
    assert str(tmp_path / "none") in error
    assert "avcap data prepare" in error


def test_a_missing_tokenizer_is_named(demo_root: Path, tmp_path: Path, capsys):
    tokenizer = (f"{DECODER}.tokenizer", str(tmp_path / "none"))
    error = refused(["fit", *options(demo_root, tmp_path, *QUIET, *tokenizer)], capsys)
    assert str(tmp_path / "none") in error
    assert "tokenizer" in error


class TenChannels(AudioCapsDataModule):
    """The shards' clips with visual features ten channels wide.

    Args:
        **settings: Those of :class:`AudioCapsDataModule`.
    """

    def require(self, inputs: Inputs, stage: str = "fit") -> None:
        """They are added later."""

    def on_before_batch_transfer(self, batch: dict, dataloader_idx: int) -> dict:
        batch["visual_features"] = torch.zeros(len(batch["id"]), 3, 10)
        batch["visual_features_mask"] = torch.ones(len(batch["id"]), 3, dtype=torch.bool)
        return batch


def test_features_of_another_width_are_refused(demo_root: Path, tmp_path: Path, capsys):
    words = options(demo_root, tmp_path, *QUIET, f"{MODEL}.visual_encoder", "PrecomputedVisual")
    data = ("--data", f"{__name__}.TenChannels", "--data.init_args.shards", str(demo_root / "shards"))
    error = refused(["fit", *words, f"{MODEL}.visual_encoder.init_args.width", "768", *data], capsys)
    assert "10 channels" in error
    assert "768" in error
    assert "visual_encoder.width: 10" in error


def test_without_java_the_other_metrics_are_written_and_the_reason_too(
    demo_root: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("avcap.metrics.java._candidates", lambda: iter(()))
    metrics = (f"{MODEL}.metrics", "[bleu_4, meteor, cider_d, unique_ratio]")
    checkpoint = ("--ckpt_path", str(tiny_run / "checkpoints" / "last.ckpt"))
    main(["test", *options(demo_root, tmp_path, *QUIET, *metrics, *checkpoint)])
    results = json.loads((tmp_path / "results.json").read_text())
    assert {"bleu_4", "cider_d"} <= set(results["scores"])
    assert "meteor" not in results["scores"]
    assert "Java" in results["left_out"]["meteor"]
    assert results["tokenizer"] == "plain"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """26 train and 5 val clips in the AudioCaps layout, which a test may damage."""
    return small_set(tmp_path / "small")


def test_a_csv_without_a_column_is_refused_with_the_columns_it_has(small: Path, capsys):
    path = small / "val.csv"
    rows = list(csv.DictReader(path.open()))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["youtube_id", "start_time"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    error = refused(["data", "prepare", str(small), "--splits", "[val]", "--num_workers", "0"], capsys)
    assert str(path) in error
    assert "caption" in error
    assert not (small / "shards" / "val").exists()


def test_a_clip_without_a_file_and_a_broken_one_are_counted(small: Path, capsys):
    files = sorted(path for path in small.rglob("*") if path.suffix in (".mp4", ".wav"))
    names = {row["youtube_id"] for row in csv.DictReader((small / "val.csv").open())}
    mine = [path for path in files if any(name in path.name for name in names)]
    mine[0].unlink()
    mine[1].write_bytes(mine[1].read_bytes()[:40])
    main(["data", "prepare", str(small), "--splits", "[val]", "--num_workers", "0", "--size", "16", "--frames", "2"])
    out = capsys.readouterr().out
    info = json.loads((small / "shards" / "val" / "info.json").read_text())
    assert (info["clips"], len(info["missing"]), len(info["broken"]), len(info["ids"])) == (5, 1, 1, 3)
    assert mine[1].name in (small / "shards" / "quarantine.jsonl").read_text()
    assert "quarantine.jsonl" in out


def test_a_damaged_shard_is_named(demo_root: Path, tmp_path: Path, capsys):
    shards = shutil.copytree(demo_root / "shards", tmp_path / "shards")
    (file,) = (shards / "train").glob("chunk*.bin")
    content = np.fromfile(file, np.uint8)
    content[: len(content) // 2].tofile(file)
    words = options(demo_root, tmp_path / "run", *QUIET, "--data.init_args.num_workers", "0")
    error = refused(["fit", *words, "--data.init_args.shards", str(shards)], capsys)
    assert file.name in error or str(shards / "train") in error
