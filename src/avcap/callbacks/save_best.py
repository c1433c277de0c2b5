"""Keep the best checkpoint of a run."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from avcap.callbacks.checkpoint_files import BEST, LAST, read_progress, share
from avcap.callbacks.save_last import SaveLast, checkpoints_folder, is_trial

log = logging.getLogger(__name__)

LOSS = "val/loss"


class SaveBest(Checkpoint):
    """Write ``checkpoints/best.ckpt``: the state after the validation with the best score.

    It is the same file as the ``last.ckpt`` of that time (:class:`SaveLast` must be there). Where the score cannot be, as
    CIDEr-D of one clip, the loss of the validation decides; without a validation the last state is the best.

    Args:
        monitor: The score.
        mode: Whether a high or a low score is good.
    """

    def __init__(self, monitor: str = "val/cider_d", mode: Literal["max", "min"] = "max") -> None:
        self.monitor = monitor
        self.mode = mode
        self.score: float | None = None
        self.scored_by: str | None = None
        self.step: int | None = None  # of best.ckpt
        self._is_new = False

    def state_dict(self) -> dict[str, Any]:
        """Return what the best score is, and of which step."""
        return {"score": self.score, "scored_by": self.scored_by, "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the best score of before."""
        self.score, self.scored_by, self.step = (state_dict[key] for key in ("score", "scored_by", "step"))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare the score; in the middle of an epoch, save at once."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        if trainer.strategy.broadcast(self._improves(trainer)):
            self._is_new = True
            if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
                self._last(trainer).save(trainer)
                self._share(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Share the last file, if it is the best or will stay the only one."""
        last = self._last(trainer)
        last.save_epoch(trainer)
        if last.finished and self.step is None:
            self._is_new = True
            if trainer.is_global_zero:
                log.warning("No validation scored this run: its last state is kept as the best.")
        if self._is_new:
            self._share(trainer)

    def _improves(self, trainer: Trainer) -> bool:
        """Return whether the score is the best so far, and remember it then."""
        found = trainer.callback_metrics
        name, mode = (self.monitor, self.mode) if self.monitor in found else (LOSS, "min")
        if name not in found or (self.scored_by == self.monitor != name):
            return False
        if name != self.monitor and self.scored_by is None and trainer.is_global_zero:
            log.warning(
                "%s is not known of this validation; %s decides which checkpoint is the best.", self.monitor, name
            )
        score = float(found[name])
        if math.isnan(score) or (self.scored_by == name and not _is_better(score, self.score, mode)):
            return False
        self.score, self.scored_by, self.step = score, name, trainer.global_step
        return True

    def _share(self, trainer: Trainer) -> None:
        self._is_new = False
        folder = checkpoints_folder(trainer)
        if trainer.is_global_zero and not is_trial(trainer):
            share(folder / LAST, folder / BEST)

    @staticmethod
    def _last(trainer: Trainer) -> SaveLast:
        found = next((callback for callback in trainer.callbacks if isinstance(callback, SaveLast)), None)  # type: ignore[attr-defined]
        if found is None:
            raise ValueError("SaveBest shares the file of SaveLast; give the trainer both.")
        return found


def _is_better(score: float, than: float | None, mode: str) -> bool:
    return than is None or (score > than if mode == "max" else score < than)


def mend_best(last: Path) -> None:
    """Share a last checkpoint as ``best.ckpt`` where a kill came between the two."""
    facts = read_progress(last)
    states = facts["callbacks"] or {}
    best, finished = states.get(SaveBest.__name__), states.get(SaveLast.__name__, {}).get("finished")
    if best and (best["step"] == facts["global_step"] or (best["step"] is None and finished)):
        share(last, last.with_name(BEST))
