"""Show captions and assignment maps in TensorBoard during training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from avcap.callbacks.hooks import EvaluatedBatch, batch_end
from avcap.figures import figure_map
from avcap.figures.maps import edges
from avcap.frontends import KaldiFbank
from avcap.types import AssignmentMap, Batch


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


def picture_parts(batch: Batch, found: AssignmentMap, clip: int, caption: str) -> dict[str, Any] | None:
    """Return the arguments of :func:`avcap.figures.figure_map` for one clip, without padding.

    Args:
        batch: The batch, on any device.
        found: The assignment maps of the batch.
        clip: Place of the clip in the batch.
        caption: What the model said of it.

    Returns:
        None for a clip without both streams, or without the times of its rows, frames and tokens.
    """
    if not {"audio", "frames", "audio_time", "frames_time"} <= batch.keys():
        return None
    plan, visual_time, audio_time = (tensor[clip].float().cpu() for tensor in found)
    heard, seen = batch["audio_mask"][clip], batch["frames_mask"][clip] & batch["frames_time"][clip].isfinite()
    rows, pictures = batch["audio_time"][clip, heard].cpu().numpy(), batch["frames_time"][clip, seen].cpu().numpy()
    if not len(rows) or not len(pictures):
        return None
    end = edges(rows)[-1]
    spectrogram, rows = spectrogram_of(batch["audio"][clip, heard], rows)
    audio_time = audio_time.where(audio_time < end, torch.nan)  # what follows is padding
    if audio_time.isnan().all() or visual_time.isnan().all():
        return None
    return {
        "fbank": spectrogram,
        "frames": batch["frames"][clip, seen].cpu().numpy(),
        "plan": plan.numpy(),
        "seconds": float(max(end, edges(pictures)[-1])),
        "fbank_time": rows,
        "frames_time": pictures,
        "visual_time": visual_time.numpy(),
        "audio_time": audio_time.numpy(),
        "caption": caption,
        "references": batch["references"][clip] if "references" in batch else None,
    }


def spectrogram_of(audio: Tensor, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give what is drawn of an encoder's input, and the times of its rows.

    Args:
        audio: The input ``[T, F]``, which is drawn itself, or a waveform ``[S]``, of which a mel spectrogram is.
        times: The middle of each row of it in seconds ``[T]`` or ``[S]``.
    """
    audio = audio.float().cpu()
    if audio.ndim == 2:
        return audio.numpy(), times
    frontend = KaldiFbank()
    spectrogram = frontend.features(audio)
    return spectrogram.numpy(), times[0] + (np.arange(len(spectrogram)) + 0.5) * frontend.hop
