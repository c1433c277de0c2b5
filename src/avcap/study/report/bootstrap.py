"""Significance of differences between systems: mean and deviation over seeds, paired bootstrap intervals over clips."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RESAMPLES = 5000
LEVEL = 0.95
_AT_ONCE = 500_000  # drawn clip numbers held in memory


class Spread(NamedTuple):
    """Scores of several seeds."""

    mean: float
    std: float | None  # with n - 1 in the denominator; None for a single seed
    seeds: int


class Difference(NamedTuple):
    """A mean difference and its interval."""

    mean: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def mean_and_std(values: np.ndarray) -> Spread:
    """Compute mean and sample standard deviation of ``[S]`` scores, at least one."""
    return Spread(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None, len(values))


def paired_bootstrap(differences: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> list[Difference]:
    """Compute percentile intervals of mean differences, clips drawn with replacement.

    ``differences`` ``[K, N]`` are, for each of K systems, its score minus the baseline's on each of N clips, both averaged
    over seeds.

    Returns:
        For each system the mean and the bounds of the 95 % interval.

    Raises:
        ValueError: If there is no clip.
    """
    systems, clips = differences.shape
    if not clips:
        raise ValueError("a bootstrap needs at least one clip")
    generator = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // clips)
    means = np.empty((resamples, systems))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = generator.integers(clips, size=(rows, clips)) + clips * np.arange(rows)[:, None]  # [rows, N]
        times = np.bincount(drawn.ravel(), minlength=rows * clips).reshape(rows, clips)  # how often each clip
        means[start : start + rows] = times @ differences.T / clips  # [rows, K]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return [Difference(*map(float, row)) for row in zip(differences.mean(1), low, high, strict=True)]
