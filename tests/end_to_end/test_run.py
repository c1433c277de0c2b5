"""What a finished run leaves behind: files, checkpoint, TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from avcap.study.report.curves import read_curves
from avcap.trained.files import FileCaptioner

SCORES = {"bleu_4", "rouge_l", "cider_d", "unique_ratio", "vocab"}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_leaves_its_config_checkpoints_scores_captions_and_maps(tiny_run: Path):
    assert {p.name for p in (tiny_run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt", "last-1.ckpt"}
    assert (tiny_run / "config.yaml").is_file()
    assert len(list((tiny_run / "maps").glob("*.png"))) == 3


def test_results_hold_the_scores_the_bounds_and_what_was_left_out(tiny_run: Path):
    results = json.loads((tiny_run / "results.json").read_text())
    assert results["clips"] == 9
    assert set(results["scores"]) >= SCORES
    assert results["human_bound"]["cider_d"] > results["scores"]["cider_d"]
    assert set(results["constant"]["scores"]) >= {"bleu_4", "cider_d"}
    assert "spider" in set(results["left_out"]) | set(results["scores"])
    assert results["settings"]["checkpoint"].endswith("last.ckpt")


def test_every_test_clip_is_captioned_once_with_its_references(tiny_run: Path, demo_root: Path):
    rows = lines(tiny_run / "predictions.jsonl")
    info = json.loads((demo_root / "shards" / "test" / "info.json").read_text())
    assert sorted(row["id"] for row in rows) == sorted(info["ids"])
    assert all(len(row["references"]) == 5 for row in rows)


def test_a_checkpoint_rebuilds_itself_without_a_config(tiny_run: Path):
    path = tiny_run / "checkpoints" / "last.ckpt"
    captioner = FileCaptioner.from_checkpoint(path)
    state = torch.load(path, weights_only=True)["state_dict"]
    own = captioner.model.state_dict()
    assert set(own) == set(state)
    assert all(torch.equal(own[name].cpu(), state[name]) for name in state)
    assert (captioner.frames.count, captioner.size, captioner.frontend.target_length) == (4, 64, 512)


def test_a_checkpoint_holds_parameters_and_two_moments_and_little_else(tiny_run: Path):
    path = tiny_run / "checkpoints" / "last.ckpt"
    state = torch.load(path, weights_only=True)["state_dict"]
    trained = sum(value.numel() * value.element_size() for value in state.values())
    assert 2.5 * trained < path.stat().st_size < 3 * trained + 100_000


@pytest.fixture(scope="module")
def board(tiny_run: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tags = {"scalars": set(), "images": set(), "tensors": set()}
    plugins = set()
    for file in (tiny_run / "tensorboard").rglob("events.out.tfevents*"):
        accumulator = EventAccumulator(str(file))
        accumulator.Reload()
        for kind in tags:
            tags[kind].update(accumulator.Tags()[kind])
        plugins.update(accumulator.summary_metadata)
    return {**tags, "plugins": plugins}


def test_tensorboard_shows_losses_learning_rate_and_scores(board):
    assert {"train/loss_caption", "train/loss_ot_audio", "train/loss_ot_visual", "train/loss", "lr"} <= board["scalars"]
    assert {"val/loss_caption", "val/cider_d", "val/unique_ratio"} <= board["scalars"]


def test_the_learning_curves_are_those_of_tensorboard(tiny_run: Path, board):
    curves = read_curves(tiny_run)
    assert {tag for tag in board["scalars"] if tag.startswith(("train/", "val/", "lr"))} <= curves.keys()
    assert np.isfinite(curves["val/loss"].values).all()
    assert (np.diff(curves["train/loss"].times) > 0).all()


def test_tensorboard_shows_captions_and_assignment_maps(board):
    assert any(tag.startswith("val/captions") for tag in board["tensors"])
    assert len([tag for tag in board["images"] if tag.startswith("val/plan/")]) == 2


def test_tensorboard_compares_runs_by_settings_and_test_scores(board):
    assert {"test/cider_d", "test/bleu_4"} <= board["scalars"]
    assert any(name.startswith("_hparams_") for name in board["plugins"])
