"""Plot the audio tokens and the image tokens after each validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from avcap.figures import figure_tokens
from avcap.metrics import TokenDistance


class TokenFigure(Callback):
    """After each validation of :class:`avcap.systems.Alignment`: the figure ``val/tokens`` in TensorBoard, and files.

    ``figures/tokens.png`` in the folder of the run is the figure of the last validation, ``figures/tokens.npz`` what it
    was drawn from: ``ids`` ``[n]``, ``image`` and ``audio`` ``[n, C]`` (mean tokens), ``mmd`` and ``sinkhorn_divergence`` ``[n]``.

    Args:
        joined: How many clips' two tokens to join by a line.
        folder: Where the files go; None for ``figures`` in ``trainer.default_root_dir``.
    """

    def __init__(self, joined: int = 12, folder: Path | None = None) -> None:
        self.joined, self.folder = joined, folder

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw and write, on the first process."""
        distance = getattr(pl_module, "validation_distance", None)
        if not isinstance(distance, TokenDistance):
            raise TypeError(
                f"TokenFigure draws the tokens of Alignment, not of {type(pl_module).__name__}; leave it out."
            )
        found = distance.found
        if trainer.sanity_checking or not trainer.is_global_zero or found is None or len(found.ids) < 2:
            return
        divergence = float(found.sinkhorn_divergence.mean())
        title = f"epoch {trainer.current_epoch + 1}: {len(found.ids)} clips, mean Sinkhorn divergence {divergence:.3g}"
        figure = figure_tokens(found.image, found.audio, joined=self.joined, title=title)
        folder = self.folder or Path(trainer.default_root_dir) / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / "tokens.png", dpi=120)
        numbers = {name: values.numpy() for name, values in found._asdict().items() if name != "ids"}
        np.savez(folder / "tokens.npz", ids=np.array(found.ids), **numbers)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_figure("val/tokens", figure, trainer.global_step)
