"""Show captions and assignment maps in TensorBoard during training."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from avcap.callbacks.hooks import EvaluatedBatch, batch_end
from avcap.figures import figure_map
from avcap.figures.parts import picture_parts


class LogSamples(Callback):
    """Write captions beside their references, and assignment maps as images, at every validation.

    Args:
        captions: How many clips of the first validation batch to show as text; 0 shows none.
        maps: How many of them to show as assignment maps; 0 shows none.
        every_n_epochs: Show them in every n-th epoch.
    """

    def __init__(self, captions: int = 8, maps: int = 2, every_n_epochs: int = 5) -> None:
        self.captions = captions
        self.maps = maps
        self.every_n_epochs = every_n_epochs

    @batch_end
    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, done: EvaluatedBatch) -> None:
        """Write the first batch."""
        outputs, batch, number = done
        logger = next((lg for lg in trainer.loggers if isinstance(lg, TensorBoardLogger)), None)
        due = trainer.current_epoch % self.every_n_epochs == 0 and not trainer.sanity_checking
        if number or logger is None or not due or not trainer.is_global_zero or not outputs:
            return
        rows = list(zip(batch["id"], outputs["captions"], batch["references"], strict=True))[: self.captions]
        table = "\n".join(f"| {i} | {caption} | {'<br>'.join(refs)} |" for i, caption, refs in rows)
        if rows:
            text = f"| clip | caption | references |\n|---|---|---|\n{table}"
            logger.experiment.add_text("val/captions", text, trainer.global_step)
        for name, maps in outputs["maps"].items():
            for clip in range(min(self.maps, len(maps.plan))):
                parts = picture_parts(batch, maps, clip, outputs["captions"][clip])
                if parts is not None:
                    tag = f"val/{name}/{batch['id'][clip]}"
                    logger.experiment.add_figure(tag, figure_map(**parts), trainer.global_step)
