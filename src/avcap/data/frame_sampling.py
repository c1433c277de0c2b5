"""Choice among a clip's stored frames."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from typing import Literal

from avcap.media import even_indices
from avcap.shards.item import Choose

FrameSampling = Literal["even", "centre", "random"]


@dataclass(frozen=True)
class FrameChoice:
    """Chooses among a clip's stored frames.

    Args:
        count: How many; None takes all.
        sampling: "even", each from the middle of an equal part of the clip; "centre", those in a row at its middle; "random",
            in a row from a random start, drawn anew each epoch, and the centre ones in evaluation (AVCap).

    Raises:
        ValueError: if ``count`` is below 1.
    """

    count: int | None = None
    sampling: FrameSampling = "even"

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise ValueError(f"frames.count must be null or at least 1, got {self.count}.")

    def choose(self, key: str | None = None) -> Choose:
        """Return the indices of the chosen frames.

        Args:
            key: Key of the random choices in training; None in evaluation.
        """
        if self.sampling == "random" and key is not None:
            return partial(random_indices, generator=random.Random(key))
        return EVALUATION[self.sampling]


def centre_indices(total: int, count: int) -> list[int]:
    """Return the ``count`` consecutive frames in the middle of ``total``; :func:`even_indices` if there are too few.

    AVCap evaluates so: of its 20 frames number 10, or N (even) in a row from ``(20 - N) / 2``.

    >>> centre_indices(20, 1), centre_indices(20, 4)
    ([10], [8, 9, 10, 11])
    """
    return _row(total, count, (total - count + 1) // 2)


def random_indices(total: int, count: int, generator: random.Random) -> list[int]:
    """Return ``count`` consecutive frames from a random start (AVCap's training); :func:`even_indices` if there are too few."""
    return _row(total, count, generator.randint(0, max(0, total - count)))


def index_at(total: int, count: int, *, time: float, seconds: float) -> list[int]:
    """Return, ``count`` times, the index of the frame nearest to a moment; the ``total`` frames are the middles of equal parts of a clip.

    Args:
        total: Stored frames.
        count: Frames to take.
        time: The moment in seconds.
        seconds: Length of the clip.

    >>> [index_at(8, 1, time=time, seconds=4.0) for time in (0.0, 0.6, 3.9, 9.0)]
    [[0], [1], [7], [7]]
    """
    return [min(total - 1, int(time / seconds * total))] * count


EVALUATION: dict[str, Choose] = {"even": even_indices, "centre": centre_indices, "random": centre_indices}


def _row(total: int, count: int, start: int) -> list[int]:
    return list(range(start, start + count)) if count < total else even_indices(total, count)
