"""DALI's stages one after the other, by the real program and the configs of the embedded data, a step or two each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from avcap.cli import main
from tests.end_to_end.program import program
from tests.end_to_end.test_ddp import TWO
from tests.systems.dali_place import make_place

QUICK = (
    *("--trainer.accelerator", "cpu", "--trainer.precision", "32-true", "--trainer.enable_progress_bar", "false"),
    *("--data.init_args.num_workers", "0"),
)
STEP = ("--trainer.max_epochs", "1", "--trainer.check_val_every_n_epoch", "1", "--trainer.limit_train_batches", "2")
EACH = ("--trainer.log_every_n_steps", "1")
SMALL = ("--data.init_args.batch_size", "8", "--data.init_args.eval_batch_size", "6")
SHORT = ("--model.init_args.decoder.init_args.generation.max_new_tokens", "4")


def avcap(*words: str) -> None:
    main(list(words))


def fit(stage: str, *more: str) -> None:
    avcap("fit", "--config", f"configs/dali/{stage}.yaml", *STEP, *EACH, *QUICK, *SMALL, *more)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_the_stages_follow_each_other(demo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    place = make_place(tmp_path / "place", demo_root)
    runs = place / "runs" / "dali"
    monkeypatch.chdir(place)

    avcap("dali", "texts", "--out", "texts.jsonl", "--count", "60")
    texts = ("--data.init_args.path", "texts.jsonl", "--data.init_args.val", "10", "--data.init_args.batch_size", "10")
    every = ("--trainer.val_check_interval", "2", "--trainer.max_steps", "2", *QUICK[:6])
    avcap("fit", "--config", "configs/dali/0a_language.yaml", *every, *texts)

    avcap("dali", "stills", "--out", "stills", "--count", "16", "--val", "6", "--num_workers", "0")
    stills = ("--data.init_args.shards", "stills")
    fit("0b_image_captioner", *SHORT, *stills)
    avcap("dali", "captioner", str(runs / "image_captioner/checkpoints/last.ckpt"), "runs/dali/llava_captions")
    avcap("dali", "instructions", "--shards", "stills")
    fit("0b_image_captioner", "--config", "configs/dali/0c_instructions.yaml", *SHORT, *stills)
    avcap("dali", "captioner", str(runs / "instructed/checkpoints/last.ckpt"), "runs/dali/llava")
    first, second = (load_file(runs / name / "model.safetensors") for name in ("llava_captions", "llava"))
    changed = {name for name, x in second.items() if not torch.equal(x, first[name])}
    assert any("vision_tower" in name for name in changed)
    assert not any("language_model" in name or "lm_head" in name for name in changed)
    untouched = {path: path.read_bytes() for path in (runs / "llava").iterdir()}

    fit("1a_prefix", *SHORT, "--data.init_args.captions.pairs", "8")
    part("prefix", "decoder.prefix", "prefix")
    assert load_file(runs / "prefix.safetensors")["prefix"].shape == (16, 192)

    fit("1b_alignment", "--config", "configs/dali/0d_audio_backbone.yaml")
    calibrate("backbone", "backbone", "--spread", "channels")
    fit("1b_alignment")
    calibrate("alignment", "aligned")
    trained = torch.load(runs / "alignment/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    aligned = load_file(runs / "aligned.safetensors")
    assert {f"audio_encoder.{name}" for name in aligned} == set(trained)
    changed = {name for name, x in aligned.items() if not torch.equal(x, trained[f"audio_encoder.{name}"])}
    assert changed == {"projection.weight", "projection.bias"}
    drawn = np.load(runs / "alignment/figures/tokens.npz")
    assert drawn["image"].shape == drawn["audio"].shape == (6, 192)
    assert len(set(drawn["ids"])) == 6
    assert (runs / "alignment/figures/tokens.png").stat().st_size > 10_000
    board = EventAccumulator(str(runs / "alignment/tensorboard")).Reload()
    assert {"val/mmd", "val/sinkhorn_divergence", "val/recall_1", "train/loss"} <= set(board.Tags()["scalars"])
    assert "val/tokens" in board.Tags()["images"]
    kept = torch.load(runs / "alignment/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert {name.split(".")[0] for name in kept} == {"audio_encoder"}

    label = ("dali", "pseudo-label", "--config", "configs/dali/inference.yaml", "--out", "runs/dali/pseudo.jsonl")
    avcap(*label, *QUICK, *SMALL, *SHORT)
    head, *rows = lines(runs / "pseudo.jsonl")
    assert 16 < len(rows) <= 32  # after two steps a captioner has no word for some clips, which are left out
    assert head["provenance"]["clips"] == len({row["id"] for row in rows}) == len(rows)
    named = {"llava/model.safetensors", "prefix.safetensors", "aligned.safetensors"}
    assert {f"runs/dali/{name}" for name in named} <= set(head["provenance"]["files"])

    fit("2_distillation", *SHORT)
    part("distillation", "fusion.audio_projector", "audio_projector")
    image = load_file(runs / "llava/model.safetensors")
    start = next(tensor for name, tensor in image.items() if name.endswith("projector.linear_1.weight"))
    learned = load_file(runs / "audio_projector.safetensors")["linear_1.weight"]
    assert start.shape == learned.shape
    assert not torch.equal(start, learned)

    overlays = ("--config", "configs/dali/distilled.yaml", "--config", "configs/dali/modality/audio.yaml")
    avcap("test", "--config", "configs/dali/inference.yaml", *overlays, *QUICK, *SMALL, *SHORT)
    results = json.loads((runs / "modality/audio/results.json").read_text())
    assert results["clips"] == 9
    assert "cider_d" in results["scores"]
    assert untouched == {path: path.read_bytes() for path in (runs / "llava").iterdir()}


def part(run: str, name: str, out: str) -> None:
    avcap("weights", "part", f"runs/dali/{run}/checkpoints/last.ckpt", name, f"runs/dali/{out}.safetensors")


def calibrate(run: str, out: str, *more: str) -> None:
    checkpoint = f"runs/dali/{run}/checkpoints/last.ckpt"
    avcap("dali", "calibrate", checkpoint, f"runs/dali/{out}.safetensors", "--batch_size", "8", *more)


@pytest.mark.slow
def test_two_processes_align_where_one_of_them_sees_no_pictures(demo_root: Path, tmp_path: Path):
    """In the first epoch the scorers rest, and one process has no clip to compare: DDP waits for every gradient all the same."""
    tower = {"class_path": "LlavaVision", "init_args": {"model": None, "config": "configs/llm/llava_demo.json"}}
    random = tmp_path / "random.yaml"
    sound = {"class_path": "DALIAudio", "init_args": {"pretrained": None}}
    parts = {"audio_encoder": sound, "visual_encoder": tower}
    random.write_text(json.dumps({"model": {"class_path": "Alignment", "init_args": parts}}))
    files = ("configs/dali/1b_alignment.yaml", "configs/dali/objective/attentive_ot.yaml", str(random))
    configs = [word for file in files for word in ("--config", file)]
    blind = (
        "--data",
        "tests.end_to_end.missing_stream.BlindRank",
        "--data.init_args.shards",
        str(demo_root / "shards"),
    )
    run = ("--trainer.default_root_dir", str(tmp_path), "--trainer.max_epochs", "2", *STEP[2:])
    done = program("fit", *configs, *blind, *QUICK, *SMALL, *run, *TWO)
    assert done.returncode == 0, done.stderr[-3000:]
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    steps = {int(state["step"]) for state in checkpoint["optimizer_states"][0]["state"].values()}
    assert steps == {4, 2}  # the encoder's, and the scorers' of the second epoch
    assert np.load(tmp_path / "figures" / "tokens.npz")["ids"].shape == (6,)
