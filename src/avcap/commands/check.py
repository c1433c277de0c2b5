"""`avcap check`: check a config in seconds."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import LightningArgumentParser

from avcap.callbacks import RecomputeBlocks
from avcap.check import Plan, Report, Shared, check_system
from avcap.commands.doctor import finding_lines
from avcap.foreign import in_words
from avcap.lightning_cli import AvcapCLI, build_cli
from avcap.machine import Finding
from avcap.readiness.needs import memory_need, run_needs
from avcap.systems import ShardedStrategy, System

SHARED: dict[str, Shared] = {"ddp": "nothing", "zero2": "gradients", "fsdp": "weights"}

READY = "--ready"
METRICS = "metrics"  # what cannot be computed is left out of the results, and stops no run


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
        parser.add_argument(READY, action="store_true", help="see whether all that a run needs is there")
        parser.add_argument(
            "--stages",
            type=list[Literal["fit", "test"]],
            default=["fit", "test"],
            help="with --ready: what is to be run",
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
    for callback in cli.config_init.trainer.callbacks or []:
        if isinstance(callback, RecomputeBlocks):
            callback.mark(cli.model)
    _require(cli.model, cli.datamodule)
    return _report(cli)


def _report(cli: AvcapCLI) -> Report:
    data = cli.datamodule
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


class DataCLI(MetaCLI):
    """Builds the data alone, where the model cannot be built."""

    def instantiate_classes(self) -> None:
        """Build the data."""
        data = self.config.data
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(LightningDataModule, "data")
        self.datamodule = parser.instantiate_classes(parser.parse_object({"data": data.as_dict()})).data


def check(args: Sequence[str]) -> None:
    """Print what a config amounts to: parameters by part, token counts, memory; with ``--ready`` what a run lacks.

    Raises:
        SystemExit: with status 1, if a run lacks something.
    """
    if READY not in args:
        print(build_report(args))
        return
    findings = readiness(args)
    print(finding_lines(findings))
    lacking = sum(bool(finding.problem) and finding.section != METRICS for finding in findings)
    if lacking:
        print(f"\n{lacking} thing{'s' if lacking > 1 else ''} to put right, marked with !")
        raise SystemExit(1)
    print("\nready")


def readiness(args: Sequence[str]) -> list[Finding]:
    """Return what was found of all that a run of the config needs; ``args`` are those of ``avcap fit``.

    Raises:
        SystemExit: with status 2, for a wrong option or config.
    """
    options: Any = {"run": False, "parser_kwargs": {"prog": "avcap check"}}
    try:
        cli = build_cli(args, kind=MetaCLI, **options)
    except (ValueError, OSError, ImportError) as error:
        problem = Finding("weights", "model", "cannot be built", in_words(error))
        cli = build_cli(args, kind=DataCLI, **options)
        return [problem, *run_needs(None, cli.datamodule, cli.config)]
    findings = list(run_needs(cli.model, cli.datamodule, cli.config))
    if isinstance(cli.model, System):
        trains = any(parameter.requires_grad for parameter in cli.model.parameters())
        try:
            memory = _report(cli).memory
            findings.append(memory_need(memory.total if trains else memory.weights, cli.config.trainer))
        except ValueError as error:
            findings.append(Finding("device", "memory", "not known", str(error)))
    return findings
