"""Parameter groups and learning rate schedules."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn


class Schedule(ABC):
    """Learning rate factor over the progress of a run; stateless, so that a restart is exact."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """Factor of the maximum learning rate at ``progress`` in [0, 1]."""


class WarmupCosine(Schedule):
    """Linear warm-up, then half a cosine down to ``floor``.

    Args:
        warmup: Share of the run that warms up (LAVCap: 0.02).
        start: Factor at the first step.
        floor: Factor at the end.
    """

    def __init__(self, warmup: float = 0.02, start: float = 0.0, floor: float = 0.0) -> None:
        if not 0 <= warmup < 1:
            raise ValueError(f"schedule.warmup is a share of the run in [0, 1), not {warmup}.")
        self.warmup, self.start, self.floor = warmup, start, floor

    def __call__(self, progress: float) -> float:
        """See :meth:`Schedule.__call__`."""
        if progress < self.warmup:
            return self.start + (1 - self.start) * progress / self.warmup
        done = min(1.0, (progress - self.warmup) / (1 - self.warmup))
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done))


class Constant(Schedule):
    """The maximum learning rate throughout."""

    def __call__(self, progress: float) -> float:
        """See :meth:`Schedule.__call__`."""
        return 1.0


def parameter_groups(module: nn.Module, parts: Sequence[str], lr_scales: Mapping[str, float]) -> list[dict[str, Any]]:
    """Trainable parameters by part, matrices apart from vectors (biases, norms, scales), which have no weight decay.

    Returns:
        Groups with ``params``, ``lr_scale`` and, for vectors, ``weight_decay`` 0; empty groups are left out.

    Raises:
        ValueError: if nothing is trainable.
    """
    groups = []
    for name in parts:
        part = getattr(module, name)
        trainable = [] if part is None else [p for p in part.parameters() if p.requires_grad]
        scale = lr_scales.get(name, 1.0)
        matrices, vectors = [p for p in trainable if p.ndim > 1], [p for p in trainable if p.ndim <= 1]
        if matrices:
            groups.append({"params": matrices, "lr_scale": scale})
        if vectors:
            groups.append({"params": vectors, "lr_scale": scale, "weight_decay": 0.0})
    if not groups:
        raise ValueError(
            "Nothing is trainable: every part of the model is frozen; set frozen: false or add lora to one."
        )
    return groups
