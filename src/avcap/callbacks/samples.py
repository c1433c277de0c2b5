"""Show in TensorBoard what a model says and where it looks, while it trains."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from avcap.callbacks.hooks import EvaluatedBatch, batch_end
from avcap.figures import by_time, figure_map
from avcap.types import Batch

FRAME_SHIFT = 0.01  # seconds a row of the spectrogram


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
            bands = pl_module.audio_encoder.bands
            for clip in range(min(self.maps, len(maps))):
                parts = picture_parts(batch, maps, clip, outputs["captions"][clip], bands=bands)
                if parts is not None:
                    tag = f"val/{name}/{batch['id'][clip]}"
                    logger.experiment.add_figure(tag, figure_map(**parts), trainer.global_step)


def picture_parts(batch: Batch, plan: Tensor, clip: int, caption: str, *, bands: int) -> dict[str, Any] | None:
    """What :func:`avcap.figures.figure_map` needs of one clip, cut to the sound that is real; None without both streams.

    Args:
        batch: The batch, on any device.
        plan: Assignment maps ``[B, Nv, Na]`` of the batch.
        clip: Place of the clip in the batch.
        caption: What the model said of it.
        bands: How often the audio tokens run through the time of the clip; the map is summed over them.
    """
    if "fbank" not in batch or "frames" not in batch:
        return None
    plan = by_time(plan[clip], bands=bands)  # [Nv, Na / bands]
    rows = batch["fbank"].shape[1] / plan.shape[1]  # spectrogram rows a token
    tokens = int(int(batch["fbank_mask"][clip].sum()) / rows)  # tokens that hold sound alone, no padding
    if not tokens or not batch["frames_mask"][clip].any():
        return None
    length = int(tokens * rows)
    return {
        "fbank": batch["fbank"][clip, :length].float().cpu().numpy(),
        "frames": batch["frames"][clip].cpu().numpy(),
        "plan": plan[:, :tokens].float().cpu().numpy(),
        "seconds": length * FRAME_SHIFT,
        "caption": caption,
        "references": batch["references"][clip] if "references" in batch else None,
    }
