"""What a figure of an assignment map needs, taken from a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from avcap.figures.maps import edges
from avcap.frontends import KaldiFbank
from avcap.types import AssignmentMap, Batch


def picture_parts(batch: Batch, found: AssignmentMap, clip: int, caption: str) -> dict[str, Any] | None:
    """Give what :func:`avcap.figures.figure_map` needs of one clip, cut to the sound that is real.

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
    rows, frame_times = batch["audio_time"][clip, heard].cpu().numpy(), batch["frames_time"][clip, seen].cpu().numpy()
    if not len(rows) or not len(frame_times):
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
        "seconds": float(max(end, edges(frame_times)[-1])),
        "fbank_time": rows,
        "frames_time": frame_times,
        "visual_time": visual_time.numpy(),
        "audio_time": audio_time.numpy(),
        "caption": caption,
        "references": batch["references"][clip] if "references" in batch else None,
    }


def spectrogram_of(audio: Tensor, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give what is drawn of an encoder's input, and the times of its rows in seconds.

    A spectrogram ``[T, F]`` is drawn itself; of a waveform ``[S]`` a mel spectrogram is.
    """
    audio = audio.float().cpu()
    if audio.ndim == 2:
        return audio.numpy(), times
    frontend = KaldiFbank()
    spectrogram = frontend.features(audio)
    return spectrogram.numpy(), times[0] + (np.arange(len(spectrogram)) + 0.5) * frontend.hop
