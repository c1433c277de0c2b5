"""LightningCLI with avcap's components registered and its defaults set."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial, reduce
from inspect import signature
from operator import or_
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any, get_args

import yaml
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    Checkpoint,
    ModelCheckpoint,
    ModelSummary,
    ProgressBar,
    RichProgressBar,
    TQDMProgressBar,
)
from lightning.pytorch.callbacks.progress.rich_progress import _RICH_AVAILABLE
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch.optim import AdamW

from avcap.atomic import replacing
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
from avcap.callbacks.save_last import is_lost_worker
from avcap.checkpoints.reading import STATE, read_checkpoint
from avcap.components import components
from avcap.config_files import ExtendingParser

# importing a component is what registers its short name
from avcap.data import AudioCapsDataModule, TextDataModule, Transform  # noqa: F401 (registered by its import)
from avcap.decoders import Decoder
from avcap.encoders import Encoder
from avcap.explain import OneSentence
from avcap.frontends import FrontEnd
from avcap.fusion import Fusion
from avcap.losses import Aligner, AlignmentObjective, TransportDistance
from avcap.options import join_repeated
from avcap.run_folder import RunFolder
from avcap.systems import Captioner, Schedule, System

log = logging.getLogger(__name__)

NAMED = (
    *(Encoder, Fusion, Decoder, Aligner, AlignmentObjective, TransportDistance),
    *(FrontEnd, Transform, Schedule, LightningModule, LightningDataModule),
)
PARENT = "AVCAP_PARENT"  # environment of the processes that Lightning starts: who started them
_PATIENCE = 15.0  # seconds for such a process to end by itself
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux
_OVERWRITE = "--overwrite"
WEIGHTS = "--weights"
_NONE = re.compile(r"(--[\w.+]+=)None")
QUIET = (
    ".*is an instance of `nn.Module` and is already saved.*",  # deliberate: checkpoints rebuild from the config
    ".*isinstance\\(treespec, LeafSpec\\).*",
    ".*smaller than the logging interval.*",
    ".*does not have many workers.*",
    ".*Lightning couldn't infer the batch size.*",
    ".*LightningCLI's args parameter is intended to run from within Python.*",
    ".*but CUDA is not available.*",
    ".*is not supported by the model summary.*",  # SummariseModel counts
    ".*module\\(s\\) in eval mode at the start of training.*",  # those that are frozen
)


class AvcapParser(OneSentence, ExtendingParser, LightningArgumentParser):
    """The parser of the verbs of Lightning."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def parse_args(  # type: ignore[override]  # argparse's has overloads, jsonargparse's one more argument
        self, args: Sequence[str] | None = None, *more: Any, **kwargs: Any
    ) -> Any:
        """Parse; ``null`` for an argument of a class inside a class is None, and a bare ``--overwrite`` is true.

        jsonargparse reads it as None and hands it to the parser of the inner class written out, ``--key=None``, which
        would be the text "None" for an argument that may be a text.
        """
        if args is not None:
            args = join_repeated(args, {WEIGHTS})
            args = [f"{found[1]}null" if (found := _NONE.fullmatch(word)) else word for word in args]
            args = [
                f"{word}=true" if word == _OVERWRITE and after not in ("true", "false") else word
                for word, after in zip(args, [*args[1:], ""], strict=True)
            ]
        return super().parse_args(args, *more, **kwargs)

    def add_lightning_class_args(self, *args: Any, **kwargs: Any) -> list[str]:
        """Add the options of a class; ``1`` for an ``int | float`` is the int: one batch, where 1.0 would be all of them.

        Python keeps one object for unions that differ in order only, so that the int may come second, and jsonargparse takes
        the first type that fits.
        """
        added = super().add_lightning_class_args(*args, **kwargs)
        for action in self._actions:
            types = get_args(getattr(action, "_typehint", None))
            if {int, float} <= set(types):
                action._typehint = reduce(or_, sorted(types, key=lambda kind: kind is not int))  # type: ignore[attr-defined]
        return added

    def class_names(self) -> list[str]:
        """Return the short names of avcap's classes and of a user's that are imported."""
        return [component.__name__ for component in components(*NAMED)]

    def options_of_classes(self) -> list[str]:
        """Return the options of the captioner and of the data, which are there only when a config has named these."""
        kinds = {"model": Captioner, "data": AudioCapsDataModule, "model.optimizer": AdamW}
        return [f"--{key}.{name}" for key, kind in kinds.items() for name in signature(kind).parameters]


class SaveRunConfig(SaveConfigCallback):
    """Writes ``config.yaml`` into the folder of the run when training starts; other verbs leave it alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "save_to_log_dir": False})

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write before the first batch."""
        if stage == "fit":
            super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save the config, on the first process only."""
        path = Path(trainer.default_root_dir) / self.config_filename
        with replacing(path) as fresh:  # a kill leaves a whole file, or none
            self.parser.save(self.config, str(fresh), skip_none=False, overwrite=True)


class TimedCSVLogger(CSVLogger):
    """Writes each row of metrics with its ``time``, in seconds since the epoch: what `avcap report` draws curves from."""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Keep a row; rows are written every hundred steps and after every validation."""
        super().log_metrics({**metrics, "time": time.time()}, step)

    def log_hyperparams(self, params: Any = None) -> None:
        """Leave the settings to ``config.yaml``."""


if _RICH_AVAILABLE:
    _Bar: Any = RichProgressBar
else:
    _Bar = TQDMProgressBar


class ProgressWithoutVersion(_Bar):
    """Lightning's progress bar without the version of the loggers."""

    def get_metrics(self, *args: Any) -> dict[str, Any]:
        """Return the metrics to show."""
        return {name: value for name, value in super().get_metrics(*args).items() if name != "v_num"}


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
            parser.add_argument(_OVERWRITE, type=bool, default=False, help=help_)
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
            if _is_first():
                self._folder.mend(config.ckpt_path)
            self.is_finished = self._folder.is_finished(config.ckpt_path, written)

    def instantiate_classes(self) -> None:
        """Build model, data and trainer, if there is something to do."""
        if not self.is_finished:
            super().instantiate_classes()

    def before_fit(self) -> None:
        """Set the files of an earlier run aside, where that is asked."""
        if self.config.fit.overwrite and _is_first():
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
            if _is_first():
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


def _is_first() -> bool:
    """Return whether this is the first process of the run."""
    wrapper: Any = rank_zero_only
    return wrapper.rank == 0


def quieten() -> None:
    """Hide warnings about intended behaviour, and advertisements."""
    for chatty in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):
        logging.getLogger(f"lightning.pytorch.{chatty}").addFilter(_of_use)  # added once, however often called
    for pattern in QUIET:
        warnings.filterwarnings("ignore", message=pattern)


def _of_use(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(
        ("💡", "TPU available", "`weights_only` was not set", "Trainer already configured with model summary")
    )


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
    _end_with_parent()
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


@contextmanager
def exit_status() -> Iterator[None]:
    """Exit with the right status when a run inside the block is stopped, and name a lost process that loads data.

    Raises:
        SystemExit: with 143 (128 + 15) after SIGTERM, 130 after Ctrl-C; Lightning's own would be 0, as if the run had finished.
        ChildProcessError: if a process that loads the data was killed.
    """
    try:
        yield
    except SIGTERMException:
        raise SystemExit(StopTogether.status) from None
    except (RuntimeError, OSError, EOFError) as error:
        if not is_lost_worker(error):
            raise
        raise ChildProcessError(
            f"A process that loads the data was killed, perhaps for want of memory ({error}); start again, training with "
            "--ckpt_path last, and with fewer --data.num_workers if memory was short."
        ) from error


def _end_with_parent() -> None:
    """Let the processes that Lightning starts beside this one end when it dies, however it dies."""
    if os.environ.get(PARENT) == str(os.getppid()) and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    os.environ[PARENT] = str(os.getpid())
