"""Save the state of a run, so that it can be killed anywhere."""

from __future__ import annotations

import logging
import time
import traceback
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from avcap.callbacks.checkpoint_files import LAST
from avcap.callbacks.stop import largest

log = logging.getLogger(__name__)


class SaveLast(Checkpoint):
    """Write ``checkpoints/last.ckpt``, from which ``--ckpt_path last`` goes on with the next batch.

    It is written at the end of every epoch and of the training, every so often in between, and when the run is stopped by
    SIGTERM or Ctrl-C or loses a process that loads data. A stop in a validation repeats that validation. The file before
    stays as ``last-1.ckpt``. A run that fails for another reason (a loss that is not finite, say) writes nothing.

    Args:
        every_n_steps: Write after so many steps, too.
        every_minutes: Write when so many minutes have passed since the last time, too; null: never.

    Raises:
        ValueError: If one of them is not positive.
    """

    def __init__(self, every_n_steps: int | None = None, every_minutes: float | None = 15.0) -> None:
        for name, value in (("every_n_steps", every_n_steps), ("every_minutes", every_minutes)):
            if value is not None and value <= 0:
                raise ValueError(f"last.{name} is {value}; give a positive number, or null for never.")
        self.every_n_steps = every_n_steps
        self.every_minutes = every_minutes
        self.finished: dict[str, int] | None = None  # the limits that the training has reached
        self._saved = (-1, -1)  # step and epoch of the last file
        self._time = 0.0
        self._in_step = False
        self._validated = 0  # batches of all validations before the one at work

    def state_dict(self) -> dict[str, Any]:
        """Return whether the training is finished."""
        return {"finished": self.finished}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._saved, self._time, self._in_step = _place(trainer), time.monotonic(), False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note that the state is being changed."""
        self._in_step = True

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Save if it is time, and no validation comes now: it would be passed over."""
        self._in_step = False
        loop = trainer.fit_loop.epoch_loop
        fetcher: Any = trainer.fit_loop._data_fetcher
        if trainer.fit_loop._should_accumulate() or loop.batch_progress.is_last_batch:
            return
        if self._is_due(trainer) and not loop._should_check_val_fx(fetcher):
            self.save(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note where the validation begins."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._validated = trainer.fit_loop.epoch_loop.val_loop.batch_progress.total.completed

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after a validation in the middle of an epoch, if it is time."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch and self._is_due(trainer):
            self.save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save."""
        self.save_epoch(trainer)

    def save_epoch(self, trainer: Trainer) -> None:
        """Write the file of an ended epoch, once, with a note if this is the end of the training."""
        if _place(trainer) == self._saved:
            return
        if self._is_finished(trainer):
            self.finished = {"max_epochs": trainer.max_epochs or -1, "max_steps": trainer.max_steps}
        self.save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save if the run was stopped from outside while it trained."""
        stopped = isinstance(exception, SIGTERMException)
        alone = trainer.world_size == 1  # else the others still work on their step
        lost = is_lost_worker(exception)
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking or not (stopped or (lost and alone)):
            return
        whole = not self._in_step and not trainer.fit_loop._should_accumulate()
        if whole and _place(trainer) != self._saved:
            if trainer.validating:
                self._repeat_validation(trainer)
            self.save(trainer)
        path = checkpoints_folder(trainer) / LAST
        if not trainer.is_global_zero:
            return
        if path.is_file():
            told = f"Stopped at step {trainer.global_step}; {path} is of step {self._saved[0]}."
            log.warning("%s Start again with --ckpt_path last.", told)
        else:
            log.warning("Stopped at step %d, before anything could be saved.", trainer.global_step)

    def save(self, trainer: Trainer) -> None:
        """Write the file; all processes come here together."""
        if is_trial(trainer):
            return
        self._saved, self._time = _place(trainer), time.monotonic()
        trainer.save_checkpoint(checkpoints_folder(trainer) / LAST)

    def _is_due(self, trainer: Trainer) -> bool:
        steps = trainer.global_step - self._saved[0]
        if self.every_n_steps is not None and steps and trainer.global_step % self.every_n_steps == 0:
            return True
        if self.every_minutes is None:
            return False
        passed = time.monotonic() - self._time > 60 * self.every_minutes
        return bool(largest(trainer, int(passed)))  # clocks differ

    def _is_finished(self, trainer: Trainer) -> bool:
        epochs, steps = trainer.max_epochs, trainer.max_steps
        reached = (epochs is not None and 0 <= epochs <= _place(trainer)[1]) or 0 <= steps <= trainer.global_step
        return reached or (trainer.should_stop and trainer.fit_loop._can_stop_early)

    def _repeat_validation(self, trainer: Trainer) -> None:
        """Let the loop look as if the first batch of this validation was begun and not ended."""
        progress: Any = trainer.fit_loop.epoch_loop.val_loop.batch_progress
        for part, done in ((progress.total, self._validated), (progress.current, 0)):
            part.ready = part.started = done + 1
            part.processed = part.completed = done
        progress.is_last_batch = False


def is_lost_worker(error: BaseException) -> bool:
    """Return whether an exception tells that a process that loads data is gone, perhaps while it handed over a batch."""
    told = isinstance(error, ConnectionError | EOFError) or str(error).startswith("DataLoader worker")
    frames = (frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__))
    return told and "_try_get_data" in frames


def checkpoints_folder(trainer: Trainer) -> Path:
    """Return the folder of a run's checkpoints."""
    return Path(trainer.default_root_dir) / "checkpoints"


def is_trial(trainer: Any) -> bool:
    """Return whether the run is a ``fast_dev_run``, which leaves nothing."""
    return bool(trainer.fast_dev_run)


def _place(trainer: Trainer) -> tuple[int, int]:
    """Return the steps and the epochs that are done."""
    epochs: Any = trainer.fit_loop.epoch_progress.current
    return trainer.global_step, epochs.processed
