"""The speed of a training: clips of all processes a second, without validation."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from avcap.callbacks import MeasureSpeed
from avcap.callbacks import speed as module


def test_loading_counts_and_validation_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 2.0, 9.0, 11.0])  # start, end of a batch, end of a validation, end of a batch
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    trainer = SimpleNamespace(world_size=2, is_global_zero=True, default_root_dir=str(tmp_path))
    callback, batch = MeasureSpeed(), {"id": ["a", "b", "c"]}
    callback.on_train_epoch_start(trainer, None)
    callback.on_train_batch_end(trainer, None, None, batch, 0)
    callback.on_validation_end(trainer, None)
    callback.on_train_batch_end(trainer, None, None, batch, 1)
    callback.on_train_end(trainer, None)
    assert json.loads((tmp_path / "speed.json").read_text()) == {"clips": 12, "seconds": 4.0, "clips_per_second": 3.0}


def test_a_run_without_a_batch_has_no_speed(tmp_path: Path) -> None:
    trainer = SimpleNamespace(world_size=1, is_global_zero=True, default_root_dir=str(tmp_path))
    MeasureSpeed().on_train_end(trainer, None)
    assert not (tmp_path / "speed.json").exists()
