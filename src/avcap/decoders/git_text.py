"""The text decoder of GIT: word embeddings, post-norm layers over prefix and text, logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avcap.decoders.git_layers import GITBlock, KeyValue


class Prefix(NamedTuple):
    """The keys and values of the tokens that the text attends to."""

    layers: tuple[KeyValue, ...]  # a layer each, [B, heads, P, D]
    mask: Tensor | None  # [B, 1, 1, P], True where a token may be seen; None: everywhere

    def packed(self) -> Prefix:
        """Return the same keys and values, contiguous by head, so that no search step has to rearrange them."""
        return self._replace(layers=tuple(KeyValue(k.contiguous(), v.contiguous()) for k, v in self.layers))


@dataclass(frozen=True)
class GITSize:
    """Sizes of a GIT text decoder; the defaults are those of AVCap and GIT-base.

    Args:
        width: Channels.
        depth: Layers.
        heads: Attention heads.
        mlp_ratio: Hidden channels of a layer, as a multiple of ``width``.
        vocab_size: Words; 30522 are those of bert-base-uncased. None: as many as the tokenizer has (which is read then).
        positions: Places of the position table, the longest text with its opening word.
        tied: Use the word embeddings as output weights too; the output keeps a bias of its own.
    """

    width: int = 768
    depth: int = 6
    heads: int = 12
    mlp_ratio: float = 4.0
    vocab_size: int | None = 30522
    positions: int = 1024
    tied: bool = True

    def __post_init__(self) -> None:
        """Check the heads.

        Raises:
            ValueError: if the width cannot be split among them.
        """
        if self.heads < 1 or self.width % self.heads:
            raise ValueError(
                f"decoder.size.width {self.width} is no multiple of decoder.size.heads {self.heads}; change one of them."
            )


@dataclass(frozen=True)
class GITDropout:
    """Dropout rates of a GIT text decoder.

    Args:
        layers: Dropout of embeddings and layers.
        attention: Dropout of the attention weights (AVCap's code: 0.1). It keeps CPUs from the fused attention kernel.
        words: Share of the words of a training caption that are hidden from the prediction of those after them, as in Bowman
            et al., CoNLL 2016 (the code has none); their places stay. A decoder from scratch learns the language first, and
            while words tell the next word well enough it ignores the tokens.
    """

    layers: float = 0.1
    attention: float = 0.0
    words: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: if the share of words is out of range.
        """
        if not 0.0 <= self.words < 1.0:
            raise ValueError(f"decoder.dropout.words is {self.words}; it must be at least 0 and below 1.")


class GITText(nn.Module):
    """Words after a prefix -> logits of the next word (Wang et al., "GIT", TMLR 2022; the decoder of AVCap).

    No cross-attention: prefix and text are one sequence, and the same layers rewrite both. The prefix carries no
    positions. It is computed once (:meth:`prefix`); of the last layer only its keys and values, as nothing reads more.
    """

    def __init__(self, size: GITSize, *, dropout: GITDropout) -> None:
        super().__init__()
        if size.vocab_size is None:
            raise ValueError("GITText needs a number of words; set size.vocab_size.")
        self.word_dropout = dropout.words
        self.words = nn.Embedding(size.vocab_size, size.width)
        self.positions = nn.Embedding(size.positions, size.width)
        self.norm = nn.LayerNorm(size.width, eps=1e-8)
        self.dropout = nn.Dropout(dropout.layers)
        hidden = int(size.width * size.mlp_ratio)
        rates = {"dropout": dropout.layers, "attention_dropout": dropout.attention}
        self.blocks = nn.ModuleList(GITBlock(size.width, size.heads, hidden=hidden, **rates) for _ in range(size.depth))
        self.output_bias = nn.Parameter(torch.zeros(size.vocab_size))
        self.output_weight = None if size.tied else nn.Parameter(torch.empty(size.vocab_size, size.width))
        init_bert(self)

    def prefix(self, x: Tensor, mask: Tensor | None) -> Prefix:
        """Run the tokens before the text ``[B, P, C]``, finite everywhere, through the layers.

        ``mask`` ``[B, P]`` is True where a token is real; the others are seen by none. None: all are.
        """
        layers = []
        seen = visible = None
        if mask is not None:
            visible = mask[:, None, None, :]  # [B, 1, 1, P]
            seen = visible | ~visible.any(dim=-1, keepdim=True)  # a clip without tokens: no row may be empty
        for block in self._layers():
            own = block.attn.keys_values(x)
            layers.append(own)
            if len(layers) < len(self.blocks):
                x = block.prefix(x, own, seen)
        return Prefix(tuple(layers), visible)

    def forward(self, ids: Tensor, prefix: Prefix) -> Tensor:
        """Compute the last layer ``[B, L, C]`` of a whole text ``[B, L]``, the opening word first; :meth:`logits` makes logits of it.

        Raises:
            ValueError: if the text is longer than the position table.
        """
        length = ids.shape[1]
        self._require_place(length)
        x = self._embed(ids, torch.arange(length, device=ids.device), kept=self._kept(ids))  # [B, L, C]
        mask = ids.new_ones(length, length, dtype=torch.bool).tril()[None, None]  # [1, 1, L, L]
        if prefix.mask is None:
            mask = F.pad(mask, (prefix.layers[0].k.shape[2], 0), value=True)  # [1, 1, L, P + L]
        else:
            before = prefix.mask.expand(-1, -1, length, -1)  # [B, 1, L, P]
            mask = torch.cat([before, mask.expand(len(before), -1, -1, -1)], dim=-1)  # [B, 1, L, P + L]
        for block, layer in zip(self._layers(), prefix.layers, strict=True):
            x = block.text(x, layer, mask)
        return x

    def step(
        self, ids: Tensor, prefix: Prefix, past: tuple[KeyValue, ...] | None = None
    ) -> tuple[Tensor, tuple[KeyValue, ...]]:
        """Compute the newest word of each beam from the cache of all words before it.

        Args:
            ids: ``[B, K]``, one word a beam.
            prefix: The tokens before the text, one set a clip.
            past: What the last call returned, put in the order of the beams of this call; None at the first word.

        Returns:
            Last layer ``[B, K, C]``, and the longer past.

        Raises:
            ValueError: if the text is longer than the position table.
        """
        place = 0 if past is None else past[0].k.shape[3]
        self._require_place(place + 1)
        x = self._embed(ids, torch.full_like(ids, place))  # [B, K, C]
        grown = []
        for block, layer, old in zip(self._layers(), prefix.layers, past or [None] * len(self.blocks), strict=True):
            x, new = block.step(x, layer, prefix.mask, old)
            grown.append(new)
        return x, tuple(grown)

    def logits(self, x: Tensor) -> Tensor:
        """Convert last layer ``[..., C]`` to logits ``[..., V]``."""
        weight = self.words.weight if self.output_weight is None else self.output_weight
        return F.linear(x, weight, self.output_bias)

    def _layers(self) -> Sequence[GITBlock]:
        return cast("Sequence[GITBlock]", self.blocks)

    def _embed(self, ids: Tensor, places: Tensor, *, kept: Tensor | None = None) -> Tensor:
        words = self.words(ids)
        if kept is not None:
            words = words * kept.unsqueeze(-1)
        return self.dropout(self.norm(words + self.positions(places)))

    def _kept(self, ids: Tensor) -> Tensor | None:
        """Draw which words are read in training, ``[B, L]``; None means all. The opening word is always read."""
        if not self.training or self.word_dropout == 0:
            return None
        kept = torch.rand(ids.shape, device=ids.device) >= self.word_dropout
        kept[:, 0] = True
        return kept

    def _require_place(self, length: int) -> None:
        places = self.positions.num_embeddings
        if length > places:
            raise ValueError(
                f"A text of {length} tokens (with the opening one) does not fit decoder.size.positions {places}; "
                "lower decoder.captions.max_tokens and max_new_tokens."
            )


def init_bert(module: GITText) -> None:
    """Initialise as BERT does, at any width: normal weights, zero biases, LayerNorms one and zero.

    BERT's deviation 0.02 belongs to 768 channels. A layer of fewer channels sums fewer terms: with the same deviation what the
    words take from the tokens would vanish beside the words themselves, and a small decoder would learn to ignore the tokens.
    The deviation of the layers grows with the root of the ratio; embeddings keep theirs, as a LayerNorm follows them.
    """
    deviation = 0.02 * math.sqrt(768 / module.norm.normalized_shape[0])
    for part in module.modules():
        if isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=0.02)
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=deviation)
            nn.init.zeros_(part.bias)
    if module.output_weight is not None:
        nn.init.normal_(module.output_weight, std=0.02)
