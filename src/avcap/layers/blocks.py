"""The blocks that a model is a stack of."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn


def transformer_blocks(part: nn.Module) -> Iterator[nn.Module]:
    """Yield the outermost members of lists of modules (``nn.ModuleList``) that have weights."""
    for child in part.children():
        if isinstance(child, nn.ModuleList):
            yield from (block for block in child if next(block.parameters(), None) is not None)
        else:
            yield from transformer_blocks(child)
