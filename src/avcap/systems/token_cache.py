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
        """The tokens of a batch ``[B, N, C]``; None if those of a clip are not kept, or in another number than the others'."""
        rows = [self._kept.get(name) for name in ids]
        if None in rows or len({(row.x.shape, row.mask is None) for row in rows}) > 1:
            return None
        mask = None if rows[0].mask is None else torch.stack([row.mask for row in rows])
        return Tokens(torch.stack([row.x for row in rows]), mask)

    def keep(self, ids: Sequence[str], tokens: Tokens) -> None:
        """Keep tokens ``[B, N, C]``, without a graph."""
        masks = [None] * len(ids) if tokens.mask is None else tokens.mask.detach().clone()
        for name, x, mask in zip(ids, tokens.x.detach(), masks, strict=True):
            self._kept[name] = Tokens(x.clone(), mask)
