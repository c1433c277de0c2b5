"""Keep the best checkpoint of a run."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from avcap.callbacks.checkpoint_files import BEST, LAST, read_progress, share
from avcap.callbacks.hooks import data_of
from avcap.callbacks.save_last import SaveLast, checkpoints_folder, is_trial
from avcap.ids import id_hash

log = logging.getLogger(__name__)

LOSS = "val/loss"


class SaveBest(Checkpoint):
    """Write ``checkpoints/best.ckpt``: the state after the validation with the best score.

    It is the same file as the ``last.ckpt`` of that time (:class:`SaveLast` must be there). Where the score cannot be, as
    CIDEr-D of one clip, the loss of the validation decides; until a validation has scored, the state of the last epoch is the
    best. What decides is told before the first batch, and is in the checkpoint and in the results of its test.

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
        self.validation: dict[str, Any] | None = None  # which clips are validated on, where the data module tells
        self._is_new = False
        self._found: set[str] = set()  # what a trial of the validation has scored

    def state_dict(self) -> dict[str, Any]:
        """Return what the best score is, of which step, and on which clips."""
        names = ("score", "scored_by", "step", "validation")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the best score of before."""
        self.score, self.scored_by, self.step = (state_dict[key] for key in ("score", "scored_by", "step"))
        self.validation = state_dict.get("validation")

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note which scores there are."""
        self._found = set(trainer.callback_metrics)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell what will choose the best checkpoint."""
        validates, data = any(trainer.num_val_batches), data_of(trainer)
        found = data.validation() if validates and hasattr(data, "validation") else None
        self.validation = None if found is None else {"split": found.split, "ids": found.ids}
        if trainer.is_global_zero and not is_trial(trainer):
            self._tell(validates)
            if found is not None and found.on_test:
                log.warning("The validation reads clips of the test: results will say that it was selected on test.")

    def _tell(self, validates: bool) -> None:
        loss = f"the lowest {LOSS}"
        score = f"the {'highest' if self.mode == 'max' else 'lowest'} {self.monitor}"
        if not self._found and self.monitor != LOSS:
            score += f" (or {loss}, where that score cannot be computed)"
        elif self._found and self.monitor not in self._found:
            score = f"{loss} (a trial gave no {self.monitor}; where a validation gives it, that decides)"
        if not validates or (self._found and self._found.isdisjoint((self.monitor, LOSS))):
            log.warning("No validation gives %s or %s: %s is the state of the last epoch.", self.monitor, LOSS, BEST)
            return
        read = self.validation
        log.warning(
            "%s is the state with %s%s.",
            BEST,
            score,
            f" on {len(read['ids']):,} clips ({read['split']})" if read else "",
        )

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
        """Share the last file, if it is the best, or none was scored yet."""
        last = self._last(trainer)
        last.save_epoch(trainer)
        if last.finished and self.step is None and trainer.is_global_zero:
            log.warning("No validation scored this run: its last state is kept as the best.")
        if self._is_new or self.step is None:
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


def selection_of(checkpoint: Mapping[str, Any], tested: Iterable[str]) -> dict[str, Any] | None:
    """Return what has chosen a checkpoint, and on which clips.

    Args:
        checkpoint: Its content.
        tested: Ids of the clips that it was tested on.

    Returns:
        ``by`` (the score, or ``last``), ``score``, ``step``, ``epoch``, where the data module has told them ``split``, ``clips`` and
        ``id_hash`` of the validation, and ``on_test``: whether it has read clips of the test, None where that is not known. None
        for a checkpoint without the state of :class:`SaveBest`.
    """
    state = (checkpoint.get("callbacks") or {}).get(SaveBest.__name__)
    if state is None:
        return None
    place = {key: checkpoint.get(name) for key, name in (("step", "global_step"), ("epoch", "epoch"))}
    if state["step"] != place["step"]:
        return {"by": "last", **place, "on_test": False}
    told = {"by": state["scored_by"], "score": state["score"], **place, "on_test": None}
    read = state.get("validation")
    if read is None:
        return told
    facts = {"split": read["split"], "clips": len(read["ids"]), "id_hash": id_hash(read["ids"])}
    return {**told, **facts, "on_test": not set(tested).isdisjoint(read["ids"])}


def mend_best(last: Path) -> None:
    """Share a last checkpoint as ``best.ckpt`` where a kill came between the two."""
    facts = read_progress(last)
    states = facts["callbacks"] or {}
    best = states.get(SaveBest.__name__)
    if best and best["step"] in (None, facts["global_step"]):
        share(last, last.with_name(BEST))
