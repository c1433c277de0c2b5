"""Mean and covariance of the tokens over a whole split."""

from __future__ import annotations

import torch
from torch import Tensor

from avcap.layers.masking import zero_padding
from avcap.types import Tokens


class TokenMoments:
    """Mean and covariance over all real tokens of all batches alike.

    Args:
        width: Channels of the tokens.
    """

    def __init__(self, width: int) -> None:
        self._count = 0
        self._sum = torch.zeros(width, dtype=torch.float64)
        self._products = torch.zeros(width, width, dtype=torch.float64)

    def update(self, tokens: Tokens) -> None:
        """Add tokens ``[B, N, C]``, without padding."""
        x = zero_padding(tokens).x.double().cpu().flatten(0, 1)  # [B * N, C]
        self._count += int(tokens.full_mask().sum())
        self._sum += x.sum(dim=0)
        self._products += x.mT @ x

    def compute(self) -> tuple[Tensor, Tensor]:
        """Compute mean ``[C]`` and covariance ``[C, C]`` (of the population) in float64.

        Raises:
            ValueError: if there was no token.
        """
        if not self._count:
            raise ValueError("There are no tokens whose mean could be taken.")
        mean = self._sum / self._count  # [C]
        return mean, self._products / self._count - mean.outer(mean)
