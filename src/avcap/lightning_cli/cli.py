"""LightningCLI with avcap's callbacks, folders and checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

import yaml
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint, ModelSummary, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from avcap.callbacks import (
    KeepCaptions,
    LogSamples,
    MeasureMaps,
    MeasureSpeed,
    SaveBest,
    SaveLast,
    SeedSteps,
    StopTogether,
    SummariseModel,
    WholeCheckpoints,
    WritePredictions,
    WriteResults,
)
from avcap.checkpoints.reading import STATE, read_checkpoint
from avcap.lightning_cli.ends import end_with_parent, exit_status
from avcap.lightning_cli.parser import OVERWRITE, WEIGHTS, AvcapParser
from avcap.lightning_cli.quiet import quieten
from avcap.lightning_cli.run_files import ProgressWithoutVersion, SaveRunConfig, TimedCSVLogger
from avcap.run_folder import RunFolder
from avcap.systems import System

log = logging.getLogger(__name__)
_PATIENCE = 15.0  # seconds for such a process to end by itself


class AvcapCLI(LightningCLI):
    """``avcap fit | validate | test | predict``.

    A run lives in ``trainer.default_root_dir``: the whole ``config.yaml``, ``checkpoints/`` (``best.ckpt``,
    ``last.ckpt``, ``last-1.ckpt``), ``tensorboard/``, ``csv/``, and after a test ``results.json``, ``predictions.jsonl``
    and ``maps/``.
    """

    is_finished = False  # whether there is nothing to do

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks that every run has, each with its own options, and shared defaults."""
        parser.add_lightning_class_args(SaveBest, "checkpoint")
        parser.add_lightning_class_args(SaveLast, "last")
        parser.add_lightning_class_args(LogSamples, "samples")
        parser.add_lightning_class_args(MeasureMaps, "map_quality")
        parser.add_lightning_class_args(WriteResults, "results")
        parser.add_lightning_class_args(WritePredictions, "predictions")
        help_ = "files that hold the weights of a released model together, as published or imported; unless a checkpoint is given"
        parser.add_argument(WEIGHTS, nargs="+", type=Path, default=None, help=help_)
        # the data module's own sampler resumes exactly
        parser.set_defaults({"trainer.use_distributed_sampler": False})

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand == "fit":
            help_ = "set the files of a run that is in the folder aside, and begin anew"
            parser.add_argument(OVERWRITE, type=bool, default=False, help=help_)
        return parser

    def before_instantiate_classes(self) -> None:
        """Find the checkpoint, and refuse a folder that holds another run, before anything is built.

        Raises:
            ValueError: if the folder and the options do not go together.
        """
        given = self.config[self.subcommand].get("ckpt_path") if self.subcommand else None
        if self.subcommand != "fit":
            if given:
                self.config[self.subcommand].ckpt_path = self._folder.checkpoint(given)
            return
        config = self.config.fit
        if config.trainer.fast_dev_run or (given is None and any(self._folder.path.glob("hpc_ckpt_*.ckpt"))):
            return  # writes nothing; or goes on where SLURM has put the job back in the queue
        written = yaml.safe_load(self._parser("fit").dump(config, skip_none=False))
        config.ckpt_path = self._folder.start_of_fit(given, written, overwrite=config.overwrite)
        if given == "last" and config.ckpt_path:
            if is_first():
                self._folder.mend(config.ckpt_path)
            self.is_finished = self._folder.is_finished(config.ckpt_path, written)

    def instantiate_classes(self) -> None:
        """Build model, data and trainer, if there is something to do."""
        if not self.is_finished:
            super().instantiate_classes()

    def before_fit(self) -> None:
        """Set the files of an earlier run aside, where that is asked."""
        if self.config.fit.overwrite and is_first():
            self._folder.set_aside()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Point the loggers and the checkpoints, where they name no folder, to the folder of the run."""
        root = self._folder.path
        if self._get(self.config_init, "trainer.logger") in (None, True):
            board = TensorBoardLogger(root, name="", version="tensorboard", default_hp_metric=False)
            kwargs.setdefault("logger", [board, TimedCSVLogger(root, name="csv")])  # a version for each start
        given = self._get(self.config_init, "trainer.plugins") or []
        plugins = given if isinstance(given, list) else [given]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            kwargs.setdefault("plugins", [*plugins, WholeCheckpoints()])
        trainer = super().instantiate_trainer(**{"default_root_dir": str(root), **kwargs})
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(root / "checkpoints")
        return trainer

    @property
    def _folder(self) -> RunFolder:
        return RunFolder(Path(self._get(self.config, "trainer.default_root_dir") or "runs/run"))

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        """Add the callbacks that have no options; leave out those that save where Lightning shall not."""
        if config.get("enable_checkpointing") is False:
            callbacks = [callback for callback in callbacks if not isinstance(callback, Checkpoint)]
        more: list[Callback] = [StopTogether(), SeedSteps(), KeepCaptions()]
        given = config.get("callbacks") or []
        for option, base, ours in (
            ("enable_model_summary", ModelSummary, SummariseModel),
            ("enable_progress_bar", ProgressBar, ProgressWithoutVersion),
        ):
            wanted = config.get(option) is not False and not config.get("barebones")
            if wanted and not any(isinstance(callback, base) for callback in given):
                more.append(ours())
        if not any(isinstance(callback, MeasureSpeed) for callback in given):
            more.append(MeasureSpeed())
        return super()._instantiate_trainer(config, [*callbacks, *more])

    def _run_subcommand(self, subcommand: str) -> None:
        """Run the verb, unless the training is finished."""
        if self.is_finished:
            if is_first():
                told = "The run in %s is finished; a larger --trainer.max_epochs would train it further."
                log.warning(told, self._folder.path)
            return
        try:
            super()._run_subcommand(subcommand)
        except SIGTERMException:
            self._await_others()
            raise
        self._await_others()

    def _await_others(self) -> None:
        """Wait for the processes that Lightning has started; they end with this one."""
        for process in getattr(self.trainer.strategy.launcher, "procs", ()):
            with suppress(TimeoutExpired):
                process.wait(_PATIENCE)

    def _parse_ckpt_path(self) -> None:
        """Keep the config as it is written: the checkpoint is compared with it, it does not replace it."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Offer no ``--weights_only``: no verb runs what a checkpoint holds."""
        return {verb: {*hidden, "weights_only"} for verb, hidden in LightningCLI.subcommands().items()}

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        settings = {**super()._prepare_subcommand_kwargs(subcommand), "weights_only": True}
        named = settings.get("ckpt_path")
        if named and Path(named).exists():  # looked at before Lightning does, which is less strict
            self.expect(Path(named))
        elif isinstance(self.model, System) and named is None:
            self.model.released = self._get(self.config, "weights") or ()
        return settings

    def expect(self, checkpoint: Path) -> None:
        """Look at a checkpoint that is loaded next: the model reads no file for a part that is wholly in it.

        Raises:
            ValueError: if it is damaged.
        """
        files = self.trainer.strategy.checkpoint_io
        read = files.read if isinstance(files, WholeCheckpoints) else partial(read_checkpoint, rebuild=False)
        content = read(checkpoint)
        if isinstance(self.model, System):
            self.model.held = frozenset(content[STATE])


def is_first() -> bool:
    """Return whether this is the first process of the run."""
    wrapper: Any = rank_zero_only
    return wrapper.rank == 0


def build_cli(
    args: Sequence[str] | None = None, *, run: bool = True, kind: type[AvcapCLI] = AvcapCLI, **options: Any
) -> AvcapCLI:
    """Parse, build and (with ``run``) execute; without ``run`` the first word of ``args`` must be left out.

    Args:
        args: The command line; None: that of the process.
        run: Whether the first word is a verb to execute.
        kind: The class that parses and builds.
        **options: Further arguments of the class.

    Raises:
        SystemExit: with status 2, for a wrong option or config; when stopped, see :func:`exit_status`.
        ValueError: for bad input found while building or running.
    """
    quieten()
    end_with_parent()
    with exit_status():
        return kind(
            LightningModule,
            LightningDataModule,
            parser_class=AvcapParser,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,  # a system builds its own
            args=list(args) if args is not None else None,
            run=run,
            **{"save_config_callback": SaveRunConfig, **options},
        )
