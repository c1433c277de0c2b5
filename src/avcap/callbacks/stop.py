"""Save the state of a run when it is stopped."""

from __future__ import annotations

import logging
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import SIGTERMException

log = logging.getLogger(__name__)


class SaveOnStop(Callback):
    """Write ``checkpoints/last.ckpt`` when a run is stopped by SIGTERM or Ctrl-C.

    A run started again with ``--ckpt_path last`` resumes with the next batch. A run that fails for another reason
    (a loss that is not finite, say) writes nothing, so that the last good checkpoint stays.
    """

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save if the run was stopped from outside while it trained."""
        stopped = isinstance(exception, SIGTERMException | KeyboardInterrupt)
        if not stopped or trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        folder = getattr(trainer.checkpoint_callback, "dirpath", None) or Path(trainer.default_root_dir, "checkpoints")
        path = Path(folder) / "last.ckpt"
        trainer.save_checkpoint(path)
        log.warning("Stopped at step %d; saved %s. Start again with --ckpt_path last.", trainer.global_step, path)
