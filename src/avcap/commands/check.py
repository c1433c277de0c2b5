"""`avcap check`: check a config in seconds."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Literal

import torch
from lightning.pytorch.cli import LightningArgumentParser

from avcap.check import Plan, Report, Shared, check_system
from avcap.lightning_cli import AvcapCLI, build_cli
from avcap.systems import ShardedStrategy, System

SHARED: dict[str, Shared] = {"ddp": "nothing", "zero2": "gradients", "fsdp": "weights"}


class MetaCLI(AvcapCLI):
    """Builds a config's objects on the meta device: it checks every class and argument and uses no memory."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of the check itself."""
        super().add_arguments_to_parser(parser)
        parser.add_argument(
            "--clips", type=int, default=None, help="batch size of the memory estimate (default: the config's)"
        )
        parser.add_argument(
            "--devices", type=int, default=None, help="processes in all (default: trainer.devices, or 1 if it is auto)"
        )
        parser.add_argument(
            "--strategy",
            type=Literal[tuple(SHARED)],
            default=None,
            help="as configs/strategy/<name>.yaml sets it (default: trainer.strategy)",
        )
        parser.add_argument(
            "--text_tokens", type=int, default=40, help="text tokens a clip, prompt and caption together"
        )

    def instantiate_classes(self) -> None:
        """Build model and data, no trainer."""
        with torch.device("meta"):
            self.config_init = self.parser.instantiate_classes(self.config)
        self.datamodule = self._get(self.config_init, "data")
        self.model = self._get(self.config_init, "model")


def build_report(args: Sequence[str]) -> Report:
    """Check the config that the command line ``args`` (of ``avcap fit``) describes, and return the report.

    Raises:
        SystemExit: with status 2, for a wrong option or config.
        ValueError: if the parts do not fit together, or data and model do not.
    """
    cli = build_cli(args, run=False, kind=MetaCLI, parser_kwargs={"prog": "avcap check"})
    if not isinstance(cli.model, System):
        raise ValueError(f"avcap check knows avcap's systems, not {type(cli.model).__name__}.")
    data = cli.datamodule
    _require(cli.model, data)
    return check_system(
        cli.model,
        frames=_frames(data),
        clips=cli.config.clips or getattr(data, "batch_size", 4),
        text_tokens=cli.config.text_tokens,
        plan=_plan(cli),
    )


def _plan(cli: AvcapCLI) -> Plan:
    """Return how the trainer of the config makes a step, or how the options say that it shall."""
    trainer = cli.config_init.trainer
    devices = cli.config.devices or (trainer.devices if isinstance(trainer.devices, int) else 1) * trainer.num_nodes
    shared = _shared(trainer.strategy) if cli.config.strategy is None else SHARED[cli.config.strategy]
    precision = str(trainer.precision or "32-true")
    return Plan(precision, max(1, devices), shared if devices > 1 else "nothing", trainer.accelerator == "cpu")


def _shared(strategy: object) -> Shared:
    if not isinstance(strategy, ShardedStrategy):
        return "nothing"
    return "gradients" if strategy.keep_gathered else "weights"


def _require(model: System, data: object) -> None:
    """Refuse shards that lack what the encoders read; none yet are no fault.

    Raises:
        ValueError: naming the shards, what they lack, and the remedy.
    """
    if hasattr(data, "require"):
        with contextlib.suppress(FileNotFoundError):
            data.require(model.inputs)


def _frames(data: Any) -> int:
    """Return the number of frames of a clip: that of the config, of the shards, or 20 as in AudioCaps' published features."""
    count = getattr(getattr(data, "frames", None), "count", None)
    if count is not None:
        return count
    try:
        return data.info().frames or 20
    except (AttributeError, FileNotFoundError):
        return 20


def check(args: Sequence[str]) -> None:
    """Print what a config amounts to: parameters by part, token counts, memory."""
    print(build_report(args))
