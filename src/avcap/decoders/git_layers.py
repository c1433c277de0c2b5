"""Post-norm transformer layers over a prefix and a text, which never see more than they should.

The tokens before the text (the prefix) attend to each other only, whatever the text is. So they are computed once, and
what the text needs of them is their keys and values: for the caption of a training clip, and for every beam of a search.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avcap.layers.attention import Heads, attention


class KeyValue(NamedTuple):
    """Keys and values of one layer, heads split."""

    k: Tensor  # prefix: [B, heads, P, D]; text of a search: [B, K, heads, T, D]
    v: Tensor  # as k


class PrefixAttention(Heads):
    """Multi-head attention whose queries are all of the prefix, all of a text, or the newest word of each beam."""

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__(width, heads)
        self.dropout = dropout

    def keys_values(self, x: Tensor) -> KeyValue:
        """Convert ``[B, N, C]`` to keys and values ``[B, heads, N, D]``."""
        return KeyValue(self._split(self.k_proj(x)), self._split(self.v_proj(x)))

    def attend(self, x: Tensor, keys: KeyValue, mask: Tensor | None) -> Tensor:
        """Let rows ``[B, N, C]`` attend to keys and values ``[B, heads, M, D]``: those of the prefix to the prefix.

        ``mask`` is broadcastable to ``[B, heads, N, M]``, True where a row may see a key.
        """
        q = self._split(self.q_proj(x))  # [B, heads, N, D]
        if self.training and self.dropout > 0:
            mixed = F.scaled_dot_product_attention(q, *keys, attn_mask=mask, dropout_p=self.dropout)
        else:
            mixed = attention(q, *keys, mask)
        return self.proj(mixed.transpose(1, 2).flatten(2))  # [B, N, C]

    def text(self, x: Tensor, prefix: KeyValue, mask: Tensor) -> Tensor:
        """Let text rows ``[B, L, C]`` attend to the prefix and to the text up to themselves; ``mask`` is ``[B or 1, 1, L, P + L]``."""
        own = self.keys_values(x)
        both = KeyValue(
            torch.cat([prefix.k, own.k], dim=2), torch.cat([prefix.v, own.v], dim=2)
        )  # [B, heads, P + L, D]
        return self.attend(x, both, mask)

    def step(self, x: Tensor, prefix: KeyValue, mask: Tensor | None, past: KeyValue | None) -> tuple[Tensor, KeyValue]:
        """Let the newest word of each beam attend to the clip's prefix, to earlier words and to itself.

        The beams of a clip are queries on one set of prefix keys, so these are neither copied nor computed again.

        Args:
            x: ``[B, K, C]``, one row a beam.
            prefix: Keys and values ``[B, heads, P, D]`` of the clip.
            mask: ``[B, 1, 1, P]``.
            past: Keys and values ``[B, K, heads, T - 1, D]`` of the beams' earlier words; None: there are none.

        Returns:
            ``[B, K, C]``, and the keys and values ``[B, K, heads, T, D]`` with the new word.
        """
        q, k, v = (layer(x).unflatten(-1, (self.heads, 1, -1)) for layer in (self.q_proj, self.k_proj, self.v_proj))
        if past is not None:
            k, v = torch.cat([past.k, k], dim=3), torch.cat([past.v, v], dim=3)  # [B, K, heads, T, D]
        q = q * q.shape[-1] ** -0.5  # [B, K, heads, 1, D]
        to_prefix = q.squeeze(3).transpose(1, 2) @ prefix.k.transpose(-2, -1)  # [B, heads, K, P]
        if mask is not None:
            to_prefix = to_prefix.masked_fill(~mask, float("-inf"))
        to_text = (q @ k.transpose(-2, -1)).squeeze(3).transpose(1, 2)  # [B, heads, K, T]
        weights = torch.cat([to_prefix, to_text], dim=-1).softmax(dim=-1).to(v.dtype)  # [B, heads, K, P + T]
        on_prefix, on_text = weights.split([to_prefix.shape[-1], to_text.shape[-1]], dim=-1)
        mixed = (on_prefix @ prefix.v).transpose(1, 2)  # [B, K, heads, D]
        mixed = mixed + (on_text.transpose(1, 2).unsqueeze(3) @ v).squeeze(3)
        return self.proj(mixed.flatten(2)), KeyValue(k, v)


class GITBlock(nn.Module):
    """A BERT layer: ``h = LN(h + attention(h)); h = LN(h + fc2(gelu(fc1(h))))``, exact GELU, LayerNorm epsilon 1e-12.

    Args:
        hidden: Channels between the two linear layers.
        dropout: Dropout after the attention and after the second linear layer.
        attention_dropout: Dropout of the attention weights.
    """

    def __init__(
        self, width: int, heads: int, *, hidden: int, dropout: float = 0.0, attention_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.attn = PrefixAttention(width, heads, dropout=attention_dropout)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def prefix(self, x: Tensor, own: KeyValue, mask: Tensor | None) -> Tensor:
        """Convert prefix ``[B, P, C]`` with its keys and values to ``[B, P, C]``; see :meth:`PrefixAttention.attend`."""
        return self._finish(x, self.attn.attend(x, own, mask))

    def text(self, x: Tensor, prefix: KeyValue, mask: Tensor) -> Tensor:
        """Convert text ``[B, L, C]`` to ``[B, L, C]``; see :meth:`PrefixAttention.text`."""
        return self._finish(x, self.attn.text(x, prefix, mask))

    def step(self, x: Tensor, prefix: KeyValue, mask: Tensor | None, past: KeyValue | None) -> tuple[Tensor, KeyValue]:
        """Convert newest words ``[B, K, C]`` to ``[B, K, C]`` and the longer past; see :meth:`PrefixAttention.step`."""
        mixed, past = self.attn.step(x, prefix, mask, past)
        return self._finish(x, mixed), past

    def _finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        x = self.norm1(x + self.dropout(mixed))
        return self.norm2(x + self.dropout(self.fc2(F.gelu(self.fc1(x)))))
