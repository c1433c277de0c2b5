"""Where the tokens of many clips lie, and how widely: channel means and standard deviations over a whole split."""

from __future__ import annotations

import torch
from torch import Tensor

from avcap.layers.masking import zero_padding
from avcap.types import Tokens


class TokenMoments:
    """Mean and standard deviation of each channel, over all real tokens of all batches alike.

    Args:
        width: Channels of the tokens.
    """

    def __init__(self, width: int) -> None:
        self._count = 0
        self._sum = torch.zeros(width, dtype=torch.float64)
        self._squares = torch.zeros(width, dtype=torch.float64)

    def update(self, tokens: Tokens) -> None:
        """Adds tokens ``[B, N, C]``; padding does not count."""
        x = zero_padding(tokens).x.double().cpu()
        self._count += int(tokens.full_mask().sum())
        self._sum += x.sum(dim=(0, 1))
        self._squares += x.square().sum(dim=(0, 1))

    def compute(self) -> tuple[Tensor, Tensor]:
        """Means ``[C]`` and standard deviations ``[C]`` in float64.

        Raises:
            ValueError: if there was no token.
        """
        if not self._count:
            raise ValueError("There are no tokens whose mean could be taken.")
        mean = self._sum / self._count  # [C]
        return mean, (self._squares / self._count - mean.square()).clamp_min(0).sqrt()
