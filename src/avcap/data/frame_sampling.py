"""Which of a clip's stored pictures are taken."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from avcap.data.media import even_indices

FrameChoice = Callable[[int, int], Sequence[int]]  # (stored pictures, pictures to take) -> their indices
FrameSampling = Literal["even", "centre", "random"]


def centre_indices(total: int, count: int) -> list[int]:
    """The ``count`` pictures in a row at the middle of ``total``; :func:`even_indices` where there are too few.

    AVCap evaluates so: of its 20 pictures number 10, or N (even) in a row from ``(20 - N) / 2``.

    >>> centre_indices(20, 1), centre_indices(20, 4)
    ([10], [8, 9, 10, 11])
    """
    return _row(total, count, (total - count + 1) // 2)


def random_indices(total: int, count: int, generator: random.Random) -> list[int]:
    """``count`` pictures in a row from a random start (AVCap's training); :func:`even_indices` where there are too few."""
    return _row(total, count, generator.randint(0, max(0, total - count)))


def index_at(total: int, count: int, *, time: float, seconds: float) -> list[int]:
    """The picture nearest to a moment, of ``total`` from the middles of as many equal parts of a clip; once for each of ``count``.

    Args:
        total: Stored pictures.
        count: Pictures to take.
        time: The moment in seconds.
        seconds: Length of the clip.

    >>> [index_at(8, 1, time=time, seconds=4.0) for time in (0.0, 0.6, 3.9, 9.0)]
    [[0], [1], [7], [7]]
    """
    return [min(total - 1, int(time / seconds * total))] * count


EVALUATION: dict[str, FrameChoice] = {"even": even_indices, "centre": centre_indices, "random": centre_indices}


def frame_choice(sampling: FrameSampling, key: str | None = None) -> FrameChoice:
    """How the pictures of a clip are chosen.

    Args:
        sampling: Name of the sampling; "random" takes the centre ones in evaluation.
        key: Seed of chance in training; None in evaluation.
    """
    if sampling == "random" and key is not None:
        return partial(random_indices, generator=random.Random(key))
    return EVALUATION[sampling]


def picture_times(total: int, seconds: float, chosen: Sequence[int] | None = None) -> Tensor:
    """When pictures were taken that stand at the middles of ``total`` equal parts of a clip.

    Args:
        total: Pictures of the whole clip.
        seconds: Length of the clip; NaN where unknown.
        chosen: Indices of those that are meant; None: all.

    Returns:
        Seconds ``[total]`` or ``[len(chosen)]`` float32, NaN where the length is.

    >>> picture_times(4, 8.0).tolist(), picture_times(4, 8.0, [2]).tolist()
    ([1.0, 3.0, 5.0, 7.0], [5.0])
    """
    places = torch.arange(total) if chosen is None else torch.tensor(chosen)
    return ((places.double() + 0.5) * (seconds / total)).float()


def _row(total: int, count: int, start: int) -> list[int]:
    return list(range(start, start + count)) if count < total else even_indices(total, count)
