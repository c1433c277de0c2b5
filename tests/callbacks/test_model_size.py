"""The table of a model's parts tells the memory of its weights."""

from __future__ import annotations

import re

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn

from avcap.callbacks import SummariseModel


class HalfFrozen(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(999, 1000).to(torch.bfloat16).requires_grad_(False)  # 1 M weights of 2 bytes
        self.trained = nn.Linear(999, 500)  # 0.5 M of 4 bytes


def test_the_size_is_that_of_the_weights_in_their_own_types(capsys: pytest.CaptureFixture, caplog, monkeypatch) -> None:
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, precision="bf16-mixed")
    model = HalfFrozen()
    model._trainer = trainer
    with caplog.at_level("INFO"):
        SummariseModel().on_fit_start(trainer, model)
    told = capsys.readouterr().out + caplog.text
    assert re.search(r"(\b4\.0\d*\s+Total estimated model params size)|(model params size \(MB\)\s*:\s*4\b)", told), (
        told
    )
