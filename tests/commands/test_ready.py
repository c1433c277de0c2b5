"""`avcap check --ready`: all that a run lacks, at once."""

from __future__ import annotations

import json
import re
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from avcap.checkpoints.loading import load_weights, without_values
from avcap.cli import main
from avcap.commands.check import readiness
from avcap.machine import Finding
from avcap.readiness.weights import wrong_files
from tests.end_to_end.program import REPOSITORY, options

AUDIO = "--model.init_args.audio_encoder.init_args.pretrained"


def problems(findings: list[Finding]) -> dict[str, str]:
    return {
        f"{found.section} {found.name}": found.problem
        for found in findings
        if found.problem and found.section != "metrics"
    }


def test_a_run_that_has_everything_is_ready(demo_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    cut = ("--data.init_args.clips.val", "0.25")  # of train's clips
    main(["check", *options(demo_root, tmp_path / "run", *cut), "--ready"])
    out = capsys.readouterr().out
    assert out.endswith("\nready\n")
    train, val, test = map(int, re.findall(r"(\d+) clips \(", out))
    assert (train + val, test) == (32, 9)
    assert 0 < val < train
    for line in ("derived: kaldi_fbank_64", "for 3 checkpoints", "GiB free", "tokens"):
        assert line in out


def test_all_that_is_missing_is_told_at_once(demo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """A damaged shard, weights of another size, a folder that is a file, a full disk."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("avcap.readiness.needs.shutil.disk_usage", lambda _: usage(1, 1, 0))
    root = tmp_path / "data"
    shutil.copytree(demo_root / "shards", root / "shards")
    next((root / "shards/val").glob("chunk-*.bin")).unlink()
    (tmp_path / "file").touch()
    save_file({"patch_embed.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    args = options(demo_root, tmp_path / "file/run")
    args += ["--data.init_args.shards", str(root / "shards"), AUDIO, str(tmp_path / "other.safetensors")]
    with pytest.raises(SystemExit) as stop:
        main(["check", *args, "--ready"])
    assert stop.value.code == 1
    out = capsys.readouterr().out
    assert "4 things to put right" in out
    for words in (
        "does not fit CEDEncoder",
        "is missing; make the split again",
        "cannot be written to",
        "free some space",
    ):
        assert words in out


def test_a_model_that_cannot_be_built_hides_nothing_else(demo_root: Path, tmp_path: Path):
    args = options(
        demo_root, tmp_path / "run", "--model.init_args.decoder.init_args.config", str(tmp_path / "none.json")
    )
    args += ["--data.init_args.shards", str(tmp_path / "shards"), AUDIO, str(tmp_path / "weights.pt")]
    said = problems(readiness(args))
    assert "none.json" in said["weights model"]
    assert "There are no shards" in said["data train"]
    assert "There are no shards" in said["data test"]
    assert "weights.pt" in said["weights audio_encoder"]
    assert "data test" not in problems(readiness([*args, "--stages", "[fit]"]))


def test_weights_files_of_the_papers_are_named_one_by_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    said = problems(readiness(["--config", str(REPOSITORY / "configs/avcap.yaml")]))
    assert "`avcap weights import" in said["weights audio_encoder"]
    assert "git_base" in said["weights decoder"]
    assert "no tokenizer" in said["weights tokenizer"]
    assert {"data train", "data test"} <= said.keys()


def test_shapes_are_compared_without_reading_values(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.ones(4, 3), "bias": torch.ones(4)}, path)
    with torch.device("meta"):
        layer = torch.nn.Linear(3, 4)
    with without_values():
        load_weights(layer, path, component="Linear")
        with torch.device("meta"), pytest.raises(ValueError, match="does not fit Linear"):
            load_weights(torch.nn.Linear(3, 5), path, component="Linear")
    assert layer.weight.is_meta
    real = torch.nn.Linear(3, 4)
    load_weights(real, path, component="Linear")
    assert torch.equal(real.weight, torch.ones(4, 3))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A Hugging Face folder of two shards."""
    folder = tmp_path / "model"
    folder.mkdir()
    places = {}
    for number in (1, 2):
        name = f"model-0000{number}-of-00002.safetensors"
        save_file({f"layer.{number}": torch.ones(100)}, folder / name)
        places[f"layer.{number}"] = name
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


def test_a_folder_of_whole_shards_is_right(model: Path):
    assert wrong_files(str(model)) == ""


def test_a_shard_of_the_index_that_is_not_there_is_named(model: Path):
    (model / "model-00002-of-00002.safetensors").unlink()
    assert "lacks model-00002-of-00002.safetensors, which its index names" in wrong_files(str(model))


def test_a_shard_that_is_cut_short_is_named(model: Path):
    shard = model / "model-00001-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-8])
    assert "model-00001-of-00002.safetensors is cut short" in wrong_files(str(model))


def test_a_shard_of_another_model_is_named(model: Path):
    save_file({"other": torch.ones(2)}, model / "model-00002-of-00002.safetensors")
    assert "lacks layer.2, which the index places in it" in wrong_files(str(model))


def test_a_folder_without_weights_is_told(tmp_path: Path):
    assert "holds no weights" in wrong_files(str(tmp_path))


def test_another_language_model_is_told(demo_root: Path, tmp_path: Path):
    from transformers import LlamaConfig

    LlamaConfig(hidden_size=64, num_hidden_layers=7).save_pretrained(tmp_path / "lm")
    args = options(demo_root, tmp_path / "run", "--model.init_args.decoder.init_args.model", str(tmp_path / "lm"))
    assert "it is another model" in problems(readiness(args))["weights decoder"]
