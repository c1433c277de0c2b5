"""Linear prediction of one set of vectors from another: ridge regression, with its penalty chosen on separate clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

PENALTIES = (1.0, 10.0, 100.0, 1000.0, 10000.0)


class Pairs(NamedTuple):
    """Vectors ``x`` and the targets ``y`` to predict from them, row by row."""

    x: Tensor  # [n, C]
    y: Tensor  # [n, D]


class LinearProbe:
    """Ridge regression of ``y`` on standardised ``x``, with the penalty that explains held-out clips best.

    Args:
        fit: The clips that it is fitted to.
        choose: Those that choose the penalty.
        penalties: The penalties to choose from, against standardised ``x`` (the squared norm of the weights, times them, is added to
            the sum of squared errors).

    Attributes:
        penalty: The chosen one.

    Raises:
        ValueError: if there are fewer than two clips to fit to, or none to choose by.
    """

    def __init__(self, fit: Pairs, choose: Pairs, *, penalties: Sequence[float] = PENALTIES) -> None:
        if len(fit.x) < 2 or not len(choose.x):
            raise ValueError(
                f"A probe needs two clips to fit and one to choose by, not {len(fit.x)} and {len(choose.x)}."
            )
        self.centre = fit.y.double().mean(dim=0)  # [D]
        self._mean, self._scale = fit.x.double().mean(dim=0), fit.x.double().std(dim=0)  # [C]
        self._scale = torch.where(self._scale > 0, self._scale, 1.0)
        x = self._standardised(fit.x)
        square, product = x.mT @ x, x.mT @ (fit.y.double() - self.centre)  # [C, C], [C, D]
        found = {
            penalty: torch.linalg.solve(square + penalty * torch.eye(len(square), dtype=square.dtype), product)
            for penalty in penalties
        }
        self.penalty = max(found, key=lambda p: explained(self._apply(choose.x, found[p]), choose.y, self.centre))
        self._weight = found[self.penalty]  # [C, D]

    def __call__(self, x: Tensor) -> Tensor:
        """Predict ``[n, D]`` from ``[n, C]``, in float64."""
        return self._apply(x, self._weight)

    def _apply(self, x: Tensor, weight: Tensor) -> Tensor:
        return self._standardised(x) @ weight + self.centre

    def _standardised(self, x: Tensor) -> Tensor:
        return (x.double() - self._mean) / self._scale


def explained(predicted: Tensor, true: Tensor, centre: Tensor) -> float:
    """Compute R squared: the share of the squared distances of ``true`` ``[n, D]`` from a centre ``[D]`` that a prediction explains.

    1 for a perfect prediction, 0 for the centre itself, below 0 for what is worse than that.
    """
    left = (predicted.double() - true.double()).square().sum()
    return float(1 - left / (true.double() - centre.double()).square().sum())
