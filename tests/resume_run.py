"""A training run for the tests of resuming: a tiny module that writes down every batch it sees, one file a rank.

`python -m tests.resume_run SHARDS LOG [--stop-at N] [--checkpoint FILE] [--resume FILE] [--devices D] [--workers W]`
stops by raising after N steps, with a checkpoint written just before, as a kill between two steps would find it.
"""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from avcap.data import NoiseRoll, SpecAugment
from tests.served import served

EPOCHS = 3


class Stopped(Exception):
    """The run was told to stop here."""


class Recorder(LightningModule):
    """One weight, which learns the mean of the sound; every training and validation batch is appended to the log, and the weight."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.file = log

    def _write(self, batch: dict, kind: str) -> None:
        content = batch["audio"].sum().item() if "audio" in batch else 0.0
        line = {
            "kind": kind,
            "epoch": self.current_epoch,
            "id": batch["id"],
            "caption": batch["caption"],
            "sum": round(content, 2),
        }
        with self.file.with_suffix(f".rank{self.global_rank}").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def training_step(self, batch: dict, batch_idx: int) -> torch.Tensor:
        self._write(batch, "train")
        heard = batch["audio"].mean((1, 2)) if "audio" in batch else torch.zeros(len(batch["id"]))
        return (self.weight - heard).square().mean()

    def on_train_end(self) -> None:
        with self.file.with_suffix(f".rank{self.global_rank}").open("a") as file:
            file.write(json.dumps({"kind": "weight", "value": self.weight.item()}) + "\n")

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        self._write(batch, "val")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class StopAt(Callback):
    """Write a checkpoint after a step, and stop."""

    def __init__(self, step: int, checkpoint: Path) -> None:
        self.step = step
        self.checkpoint = checkpoint

    def on_train_batch_end(self, trainer: Trainer, *args: object) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.checkpoint)
            raise Stopped


def run(
    shards: Path,
    log: Path,
    *,
    stop_at: int | None = None,
    checkpoint: Path | None = None,
    resume: Path | None = None,
    devices: int = 1,
    workers: int = 0,
) -> None:
    """Train for three epochs, or until told to stop."""
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    data = served(
        shards, batch_size=4 // devices, num_workers=workers, transforms=[SpecAugment(4, 20), NoiseRoll()], seed=7
    )
    trainer = Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        use_distributed_sampler=False,
        callbacks=[] if stop_at is None else [StopAt(stop_at, checkpoint)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(Recorder(log), data, ckpt_path=resume)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("shards", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--stop-at", type=int)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    run(**vars(parser.parse_args()))
