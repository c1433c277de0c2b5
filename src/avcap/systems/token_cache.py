"""Tokens that a frozen encoder makes of the same clips in every epoch, kept in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from avcap.types import Tokens


class TokenCache:
    """Clip id -> its tokens, on the device that they were made on."""

    def __init__(self) -> None:
        self._kept: dict[str, Tokens] = {}

    def find(self, ids: Sequence[str]) -> Tokens | None:
        """The tokens of a batch ``[B, N, C]``; None if those of a clip are not kept, or in another number than the others'."""
        rows = [self._kept[name] for name in ids if name in self._kept]
        if len(rows) < len(ids) or len({(row.x.shape, row.mask is None, row.time is None) for row in rows}) > 1:
            return None
        masks, times = [row.mask for row in rows], [row.time for row in rows]
        return Tokens(torch.stack([row.x for row in rows]), _stacked(masks), _stacked(times))

    def keep(self, ids: Sequence[str], tokens: Tokens) -> None:
        """Keep tokens ``[B, N, C]``, without a graph."""
        for row, name in enumerate(ids):
            mask, time = (
                None if field is None else field[row].detach().clone() for field in (tokens.mask, tokens.time)
            )
            self._kept[name] = Tokens(tokens.x[row].detach().clone(), mask, time)


def _stacked(rows: Sequence[Tensor | None]) -> Tensor | None:
    """Rows ``[N]`` -> ``[B, N]``; None where there are none."""
    present = [row for row in rows if row is not None]
    return torch.stack(present) if present else None
