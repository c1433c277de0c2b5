"""Show in TensorBoard what a model says and where it looks, while it trains."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from avcap.types import Batch


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

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the first batch."""
        logger = next((lg for lg in trainer.loggers if isinstance(lg, TensorBoardLogger)), None)
        due = trainer.current_epoch % self.every_n_epochs == 0 and not trainer.sanity_checking
        if batch_idx or logger is None or not due or not trainer.is_global_zero or not isinstance(outputs, dict):
            return
        rows = list(zip(batch["id"], outputs["captions"], batch["references"], strict=True))[: self.captions]
        table = "\n".join(f"| {i} | {caption} | {'<br>'.join(refs)} |" for i, caption, refs in rows)
        if rows:
            text = f"| clip | caption | references |\n|---|---|---|\n{table}"
            logger.experiment.add_text("val/captions", text, trainer.global_step)
        for name, maps in outputs["maps"].items():
            for clip in range(min(self.maps, len(maps))):
                figure = _figure(batch, maps, clip, outputs["captions"][clip])
                logger.experiment.add_figure(f"val/{name}/{batch['id'][clip]}", figure, trainer.global_step)


def _figure(batch: Batch, maps: Any, clip: int, caption: str) -> Any:
    from avcap.report import figure_map

    return figure_map(
        fbank=batch["fbank"][clip].float().cpu().numpy() if "fbank" in batch else None,
        frames=batch["frames"][clip].cpu().numpy() if "frames" in batch else None,
        plan=maps[clip].float().cpu().numpy(),
        seconds=seconds_of(batch, clip),
        events=None,
        caption=caption,
        references=batch.get("references", [None] * (clip + 1))[clip],
    )


def seconds_of(batch: Batch, clip: int, frame_shift: float = 0.01) -> float | None:
    """Length of the spectrogram of a clip in seconds, padding included; None without sound."""
    return batch["fbank"].shape[1] * frame_shift if "fbank" in batch else None
