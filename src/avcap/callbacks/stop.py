"""Stop all processes of a run after the same batch when one of them is told to."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from typing import Any, ClassVar

import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopTogether(Callback):
    """End a run after a whole step on SIGTERM or Ctrl-C, on all processes in the same step.

    A signal only sets a flag: a handler may interrupt anything, so nothing is sent or saved there. After each batch the
    processes compare their flags. A second Ctrl-C ends the run at once.

    Attributes:
        status: The exit status for a process that was stopped: 128 + the number of the signal; 0 in those that Lightning
            started, whose parent would take another status for a crash.
    """

    status: ClassVar[int] = 0

    def __init__(self) -> None:
        self._received = 0
        self._before: dict[int, Any] = {}
        self._trainer: Trainer | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Set the handlers in place of Lightning's, which sends to other processes while it interrupts something."""
        self._trainer, self._received = trainer, 0
        connector: Any = trainer._signal_connector
        connector._sigterm_notifier_fn = lambda *_: None
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put the earlier handlers back."""
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)
        connector: Any = trainer._signal_connector
        connector._original_handlers.update(before)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Put the earlier handlers back; a further Ctrl-C then ends what is left of the run."""
        self.teardown(trainer, pl_module, "")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop before the first step, where that is asked."""
        self._compare(trainer)
        if trainer.received_sigterm:
            raise SIGTERMException

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Let the death of a worker show at the next batch.

        torch's handler of SIGCHLD, set by the first loader, would raise in the middle of a step: then nothing whole is there to save.
        """
        if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGCHLD"):
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stop after this batch, unless gradients are being accumulated."""
        if not trainer.fit_loop._should_accumulate():
            self._compare(trainer)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stop after this batch."""
        self._compare(trainer)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stop after this batch."""
        self._compare(trainer)

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stop after this batch; Lightning's loop does not look."""
        self._compare(trainer)
        if trainer.received_sigterm:
            raise SIGTERMException

    def _compare(self, trainer: Trainer) -> None:
        """Tell Lightning's loops to stop if any process has received a signal; all processes come here together."""
        received = largest(trainer, self._received)
        if received:
            started_by_lightning = isinstance(_environment(trainer), LightningEnvironment) and trainer.local_rank > 0
            StopTogether.status = 0 if started_by_lightning else 128 + received
            connector: Any = trainer._signal_connector
            connector.received_sigterm = True

    def _receive(self, number: int, _frame: object) -> None:
        if number == signal.SIGINT and self._received == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = number
        launcher: Any = self._trainer and self._trainer.strategy.launcher
        if launcher is not None:
            launcher.kill(signal.SIGTERM)  # the processes that this one has started
        if number == signal.SIGINT:
            with contextlib.suppress(OSError):
                os.write(2, b"\nStopping after this step; press Ctrl-C again to end at once.\n")


def largest(trainer: Trainer, value: int) -> int:
    """Return the largest value of all processes; all must call this in the same step."""
    if trainer.world_size == 1:
        return value
    found = torch.tensor(value, device=trainer.strategy.root_device)
    torch.distributed.all_reduce(found, op=torch.distributed.ReduceOp.MAX)
    return int(found)


def _environment(trainer: Trainer) -> Any:
    return getattr(trainer.strategy, "cluster_environment", None)
