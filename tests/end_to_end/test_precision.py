"""bf16-mixed on a CPU."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import nn

from avcap.cli import main
from tests.end_to_end.program import REPOSITORY, options

SEEN: list[tuple[float, torch.dtype]] = []


class Losses(Callback):
    """Note the loss of every step, and the precision in which a matrix product of the encoder is computed."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.dtypes: list[torch.dtype] = []
        linear = next(part for part in pl_module.audio_encoder.modules() if isinstance(part, nn.Linear))
        linear.register_forward_hook(lambda *args: self.dtypes.append(args[2].dtype))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: dict, batch: dict, batch_idx: int
    ) -> None:
        SEEN.append((float(outputs["loss"]), self.dtypes[-1]))


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_two_batches_are_learned(precision: str, demo_root: Path, tmp_path: Path):
    """Twelve epochs of two batches at a constant learning rate: the loss falls steadily and stays finite."""
    SEEN.clear()
    overfit = ("--config", str(REPOSITORY / "configs" / "debug" / "overfit.yaml"), "--trainer.max_epochs", "12")
    rate = ("--model.init_args.schedule", "Constant", "--model.init_args.optimizer.init_args.lr", "3e-3")
    more = ("--trainer.logger", "false", "--trainer.precision", precision, "--trainer.limit_val_batches", "0")
    callback = (f"--trainer.callbacks+={__name__}.Losses",)
    main(
        [
            "fit",
            *options(
                demo_root, tmp_path, *overfit, "--trainer.default_root_dir", str(tmp_path), *rate, *more, *callback
            ),
        ]
    )
    losses = [loss for loss, _ in SEEN]
    assert len(losses) == 24
    assert all(math.isfinite(loss) for loss in losses)
    assert sum(losses[-4:]) < 0.75 * sum(losses[:4])
    assert {dtype for _, dtype in SEEN} == {torch.bfloat16 if precision == "bf16-mixed" else torch.float32}
