"""LightningCLI with avcap's components registered and its defaults set."""

from __future__ import annotations

import logging
import re
import signal
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, get_args

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from avcap.callbacks import LogSamples, MeasureMaps, SaveOnStop, WritePredictions, WriteResults
from avcap.components import components

# importing a component is what registers its short name
from avcap.data import AudioCapsDataModule, TextDataModule, Transform  # noqa: F401 (registered by its import)
from avcap.decoders import Decoder
from avcap.encoders import Encoder
from avcap.explain import OneSentence
from avcap.frontends import FrontEnd
from avcap.fusion import Fusion
from avcap.losses import Aligner, AlignmentObjective, TransportDistance
from avcap.systems import Schedule

NAMED = (
    *(Encoder, Fusion, Decoder, Aligner, AlignmentObjective, TransportDistance),
    *(FrontEnd, Transform, Schedule, LightningModule, LightningDataModule),
)
_NONE = re.compile(r"(--[\w.+]+=)None")
QUIET = (
    ".*is an instance of `nn.Module` and is already saved.*",  # deliberate: checkpoints rebuild from the config
    ".*isinstance\\(treespec, LeafSpec\\).*",
    ".*smaller than the logging interval.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*does not have many workers.*",
    ".*Lightning couldn't infer the batch size.*",
    ".*LightningCLI's args parameter is intended to run from within Python.*",
    ".*but CUDA is not available.*",
    ".*module\\(s\\) in eval mode at the start of training.*",  # those that are frozen
)


class AvcapParser(OneSentence, LightningArgumentParser):
    """The parser of the verbs of Lightning."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def parse_args(  # type: ignore[override]  # argparse's has overloads, jsonargparse's one more argument
        self, args: Sequence[str] | None = None, *more: Any, **kwargs: Any
    ) -> Any:
        """Parse; ``null`` for an argument of a class inside a class is None.

        jsonargparse reads it as None and hands it to the parser of the inner class written out, ``--key=None``, which
        would be the text "None" for an argument that may be a text.
        """
        if args is not None:
            args = [f"{found[1]}null" if (found := _NONE.fullmatch(word)) else word for word in args]
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
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.partial")  # a kill leaves a whole file, or none
        self.parser.save(self.config, str(fresh), skip_none=False, overwrite=True)
        fresh.replace(path)


class TimedCSVLogger(CSVLogger):
    """Writes each row of metrics with its ``time``, in seconds since the epoch: what `avcap report` draws curves from."""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Keep a row; rows are written every hundred steps and after every validation."""
        super().log_metrics({**metrics, "time": time.time()}, step)

    def log_hyperparams(self, params: Any = None) -> None:
        """Leave the settings to ``config.yaml``."""


class AvcapCLI(LightningCLI):
    """``avcap fit | validate | test | predict``.

    A run lives in ``trainer.default_root_dir``: the whole ``config.yaml``, ``checkpoints/`` (``best.ckpt``,
    ``last.ckpt``), ``tensorboard/``, ``csv/``, and after a test ``results.json``, ``predictions.jsonl`` and ``maps/``.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks that every run has, each with its own options, and shared defaults."""
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.add_lightning_class_args(SaveOnStop, "save_on_stop")
        parser.add_lightning_class_args(LogSamples, "samples")
        parser.add_lightning_class_args(MeasureMaps, "map_quality")
        parser.add_lightning_class_args(WriteResults, "results")
        parser.add_lightning_class_args(WritePredictions, "predictions")
        parser.set_defaults(
            {
                "trainer.use_distributed_sampler": False,  # the data module's own sampler resumes exactly
                "checkpoint.monitor": "val/cider_d",
                "checkpoint.mode": "max",
                "checkpoint.filename": "best",
                "checkpoint.save_last": True,
                "checkpoint.enable_version_counter": False,
            }
        )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Point the loggers and the checkpoints, where they name no folder, to the folder of the run."""
        root = Path(self._get(self.config_init, "trainer.default_root_dir") or "runs/run")
        if self._get(self.config_init, "trainer.logger") in (None, True):
            board = TensorBoardLogger(root, name="", version="tensorboard", default_hp_metric=False)
            kwargs.setdefault("logger", [board, TimedCSVLogger(root, name="csv")])  # a version for each start
        trainer = super().instantiate_trainer(**{"default_root_dir": str(root), **kwargs})
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(root / "checkpoints")
        return trainer

    def _parse_ckpt_path(self) -> None:
        """Keep the config as it is written: the checkpoint is compared with it, it does not replace it."""


def quieten() -> None:
    """Hide warnings about intended behaviour, and advertisements."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_of_use)  # added once, however often called
    for pattern in QUIET:
        warnings.filterwarnings("ignore", message=pattern)


def _of_use(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(("💡", "TPU available"))


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
        SystemExit: with status 2, for a wrong option or config; with 143 (128 + 15) after SIGTERM.
        ValueError: for bad input found while building or running.
    """
    quieten()
    try:
        return kind(
            LightningModule,
            LightningDataModule,
            parser_class=AvcapParser,
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=list(args) if args is not None else None,
            run=run,
            **{"save_config_callback": SaveRunConfig, **options},
        )
    except SIGTERMException:
        raise SystemExit(128 + signal.SIGTERM) from None  # Lightning's own would be 0, as if the run had finished
