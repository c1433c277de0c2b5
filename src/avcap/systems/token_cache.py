"""Tokens that a frozen encoder makes of the same clips in every epoch, kept in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from avcap.types import Tokens


class TokenCache:
    """Clip id -> its tokens, on the device that they were made on."""

    def __init__(self) -> None:
        self._kept: dict[str, Tokens] = {}

    def find(self, ids: Sequence[str]) -> Tokens | None:
        """Return the tokens of a batch ``[B, N, C]``; None if a clip is not cached or has another number of tokens."""
        rows = [self._kept.get(name) for name in ids]
        if None in rows or len({(row.x.shape, row.mask is None, row.time is None) for row in rows}) > 1:
            return None
        fields = zip(*rows, strict=True)  # x, mask, time
        return Tokens(*(None if field[0] is None else torch.stack(field) for field in fields))

    def keep(self, ids: Sequence[str], tokens: Tokens) -> None:
        """Keep tokens ``[B, N, C]``, without a graph."""
        for row, name in enumerate(ids):
            self._kept[name] = Tokens(*(None if field is None else field[row].detach().clone() for field in tokens))
