"""Putting video frames on the time grid of the audio tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from avcap.types import Tokens


def frame_rows(frames: int, rows: int, device: torch.device | None = None) -> Tensor:
    """Return the audio row of each frame ``[frames]``: ``k * (rows // frames)``, as LAVCap's code places them.

    With more frames than rows that stride would be 0; then frame k goes to row ``k * rows // frames``.
    """
    k = torch.arange(frames, device=device)
    return k * (rows // frames) if frames <= rows else k * rows // frames


def place_frames(video: Tokens, rows: int) -> Tokens:
    """Spread visual tokens over ``rows`` audio rows; a row without a frame is zero, frames that share a row are averaged.

    Places are those of the padded sequences, so a frame keeps its time whatever is masked.

    Args:
        video: Visual tokens ``[B, Nv, C]``, zero where they are not real.
        rows: Audio rows, at least 1.

    Returns:
        Tokens ``[B, rows, C]``; the mask is True on the rows that got a real frame.
    """
    B, Nv, C = video.x.shape
    real = video.full_mask()
    if Nv == 0:
        return Tokens(video.x.new_zeros(B, rows, C), real.new_zeros(B, rows))
    index = frame_rows(Nv, rows, video.x.device)  # [Nv]
    count = video.x.new_zeros(B, rows).index_add(1, index, real.to(video.x.dtype))  # [B, rows]
    x = video.x.new_zeros(B, rows, C).index_add(1, index, video.x)  # [B, rows, C]
    return Tokens(x / count.clamp_min(1).unsqueeze(-1), count > 0)


def concat_channels(audio: Tokens, video: Tokens) -> Tokens:
    """Concatenate audio tokens with the frame of the same time on the channel axis.

    Args:
        audio: Audio tokens ``[B, Na, Ca]``, zero where not real; with no audio rows (Na = 0) the frames make the grid.
        video: Visual tokens ``[B, Nv, Cv]``, zero where not real.

    Returns:
        Tokens ``[B, Na, Ca + Cv]``, real where either part is, at the times of the grid.
    """
    rows = audio.x.shape[1] or video.x.shape[1]
    if audio.x.shape[1] == 0:
        audio = Tokens(
            audio.x.new_zeros(audio.x.shape[0], rows, audio.x.shape[2]),
            audio.full_mask().new_zeros(audio.x.shape[0], rows),
            video.time,
        )
    placed = place_frames(video, rows)
    x = torch.cat([audio.x, placed.x], dim=2)  # [B, Na, Ca + Cv]
    mask = None if audio.mask is None else audio.mask | placed.full_mask()
    return Tokens(x, mask, audio.time)
