"""Attention from one token set to another."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avcap.types import Tokens

HEAD_WIDTH = 64


class CrossAttentionLayer(nn.Module):
    """``query + MultiHeadAttention(query, context, context)``, no normalisation (LAVCap's ``cross_attn``).

    A clip whose context has no real token keeps its queries as they are.

    Args:
        heads: Attention heads; None: one for every 64 channels.

    Raises:
        ValueError: if the width cannot be split into heads.
    """

    def __init__(self, width: int, *, heads: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        if heads is None and width < HEAD_WIDTH:
            raise ValueError(
                f"Cross-attention of width {width} gets no head by the rule of one head for {HEAD_WIDTH} channels; set heads."
            )
        heads = width // HEAD_WIDTH if heads is None else heads
        if heads < 1 or width % heads:
            raise ValueError(
                f"Cross-attention of width {width} cannot have {heads} heads; choose a divisor of the width."
            )
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)

    def forward(self, query: Tokens, context: Tokens) -> tuple[Tokens, Tensor | None]:
        """Let queries ``[B, N, C]`` attend to a context ``[B, M, C]``.

        Returns:
            The queries with what they attended to added ``[B, N, C]``; and in evaluation the weights averaged over heads
            ``[B, N, M]`` (0 for padded queries and for clips without context), None in training.
        """
        M = context.x.shape[1]
        if M == 0:  # one key that no clip has: parameters stay in the graph, the result is dropped
            context = Tokens(F.pad(context.x, (0, 0, 0, 1)), context.full_mask().new_zeros(context.x.shape[0], 1))
        padding, alive = None, None
        if context.mask is not None:
            alive = context.mask.any(dim=1).view(-1, 1, 1)  # [B, 1, 1]
            padding = ~context.mask & alive.squeeze(
                -1
            )  # [B, M]: a clip without context attends to zeros, then drops it
        out, weights = self.attention(
            query.x, context.x, context.x, key_padding_mask=padding, need_weights=not self.training
        )  # [B, N, C], [B, N, M]
        if alive is not None:
            out = torch.where(alive, out, 0)
        if weights is not None:
            keep = query.full_mask().unsqueeze(-1) if alive is None else query.full_mask().unsqueeze(-1) & alive
            weights = weights.masked_fill(~keep, 0)[..., :M]
        return query._replace(x=query.x + out), weights
