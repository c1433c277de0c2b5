"""The peak memory of a training step on the CPU, measured and estimated.

`python -m tests.commands.measured_step JSON`, a list of argument lists of `avcap check`, prints a list of pairs of bytes.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import torch

from avcap.commands import check
from avcap.commands.check import MetaCLI, build_report
from avcap.lightning_cli import build_cli

KIBI = 1024


class PlainCLI(MetaCLI):
    """Builds the objects on the CPU."""

    def instantiate_classes(self) -> None:
        self.config_init = self.parser.instantiate_classes(self.config)
        self.datamodule, self.model = self._get(self.config_init, "data"), self._get(self.config_init, "model")


def measured(args: list[str]) -> int:
    """Return the bytes that a model and three steps take above what the process has before them."""
    before = _resident()
    cli: Any = build_cli(args, run=False, kind=PlainCLI)
    model, data = cli.model.train(), cli.datamodule
    plan = check._plan(cli)
    model.store_frozen_as_computed(plan.precision)
    optimizer = model.configure_optimizers()
    clips = cli.config.clips or data.batch_size
    for _ in range(3):
        batch = {}
        for encoder in model.encoders:
            shape = (clips, *encoder.input_shape(check._frames(data)))
            batch |= {encoder.input: torch.rand(shape), f"{encoder.input}_time": torch.zeros(shape[:2])}
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=plan.precision == "bf16-mixed"):
            loss = model.dry_loss(batch, text_tokens=cli.config.text_tokens)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBI - before


def _resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * KIBI for line in lines if line.startswith("VmRSS"))


def both(args: list[str]) -> tuple[int, int]:
    """Measure in a process of its own, which begins with everything imported."""
    estimate = build_report(args).memory.total
    gc.collect()
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, str(measured(args)).encode())
        os._exit(0)
    os.close(writing)
    os.wait()
    return int(os.read(reading, 100)), estimate


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps([both(args) for args in json.loads(sys.argv[1])]))
