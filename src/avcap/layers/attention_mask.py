"""Conversion of padding masks to attention masks."""

from __future__ import annotations

from torch import Tensor


def attention_mask(real: Tensor | None) -> Tensor | None:
    """Return the mask ``[B, N]`` of what attention may see, or None if that is everything, for which fused kernels are fastest.

    ``real`` ``[B, N]`` is True where a token is real; None: all are. A clip without any real token attends to all of its
    tokens: they are masked in the output, and must only stay finite. Without data to look at (meta device) never None.
    """
    if real is None:
        return None
    seen = real | ~real.any(dim=1, keepdim=True)
    if not seen.is_meta and bool(seen.all()):
        return None
    return seen


def whole_clips(real: Tensor, tokens: int) -> Tensor:
    """Convert the mask ``[B, T]`` to ``[B, tokens]``: all True for a clip with anything real, all False for one without."""
    return real.any(dim=1, keepdim=True).expand(-1, tokens)


def column_mask(real: Tensor, columns: int, patch: int, *, mask_padding: bool) -> Tensor:
    """Convert the mask of a spectrogram's rows ``[B, T]`` to that of its patch columns ``[B, columns]``.

    Args:
        real: ``[B, T]`` bool, True where a row is real.
        columns: Columns of ``patch`` rows; rows beyond the last one are dropped.
        patch: Rows a column.
        mask_padding: True: a column is real where one of its rows is; False: padding counts, so all or none of a clip.
    """
    if not mask_padding:
        return whole_clips(real, columns)
    return real[:, : columns * patch].unflatten(1, (columns, patch)).any(dim=-1)
