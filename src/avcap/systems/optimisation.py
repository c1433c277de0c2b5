"""Parameter groups and learning rate schedules."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from avcap.systems.layer_decay import layer_decay_scales


class Schedule(ABC):
    """Learning rate factor over the progress of a run; stateless, so that a restart is exact."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """Return the factor of the maximum learning rate at ``progress`` in [0, 1]."""


class Warmup(Schedule):
    """Linear warm-up, then another course.

    Args:
        warmup: Share of the run that warms up.
        start: Factor at the first step.

    Raises:
        ValueError: if ``warmup`` is not in [0, 1).
    """

    def __init__(self, warmup: float = 0.0, start: float = 0.0) -> None:
        if not 0 <= warmup < 1:
            raise ValueError(f"schedule.warmup is a share of the run in [0, 1), not {warmup}.")
        self.warmup, self.start = warmup, start

    def __call__(self, progress: float) -> float:
        """See :meth:`Schedule.__call__`."""
        if progress < self.warmup:
            return self.start + (1 - self.start) * progress / self.warmup
        return self.after(progress)

    @abstractmethod
    def after(self, progress: float) -> float:
        """Return the factor behind the warm-up, at ``progress`` of the whole run."""

    def _done(self, progress: float) -> float:
        """Return how much of what follows the warm-up is done."""
        return min(1.0, (progress - self.warmup) / (1 - self.warmup))


class WarmupCosine(Warmup):
    """Linear warm-up, then half a cosine down to ``floor``.

    Args:
        warmup: Share of the run that warms up.
        start: Factor at the first step.
        floor: Factor at the end.
    """

    def __init__(self, warmup: float = 0.02, start: float = 0.0, floor: float = 0.0) -> None:
        super().__init__(warmup, start)
        self.floor = floor

    def after(self, progress: float) -> float:
        """See :meth:`Warmup.after`."""
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * self._done(progress)))


class WarmupLinear(Warmup):
    """Linear warm-up, then a straight line down to 0: ``linear`` of Hugging Face's trainer (LAVCap's code).

    Args:
        warmup: Share of the run that warms up.
    """

    def __init__(self, warmup: float = 0.02) -> None:
        super().__init__(warmup)

    def after(self, progress: float) -> float:
        """See :meth:`Warmup.after`."""
        return 1 - self._done(progress)


class StepDecay(Warmup):
    """The maximum up to a share of the run, then lower at once, and again after every further share.

    DALI's alignment halves its learning rate after epochs 10 and 15 of 20: torch's ``MultiStepLR`` with milestones 10, 15, ...

    Args:
        begin: Share of the run at which the rate falls first.
        every: Share of the run between two falls.
        factor: What the rate is multiplied by at a fall.
        warmup: Share of the run that warms up.

    Raises:
        ValueError: if ``begin`` is before the end of the warm-up, or ``every`` or ``factor`` is not positive.
    """

    def __init__(self, begin: float = 0.5, every: float = 0.25, factor: float = 0.5, warmup: float = 0.0) -> None:
        super().__init__(warmup)
        if begin < warmup or every <= 0 or factor <= 0:
            raise ValueError(
                f"schedule: begin must not be before warmup, and every and factor must be positive; got begin {begin}, "
                f"warmup {warmup}, every {every}, factor {factor}."
            )
        self.begin, self.every, self.factor = begin, every, factor

    def after(self, progress: float) -> float:
        """See :meth:`Warmup.after`; a share such as 1/3 may be rounded."""
        falls = math.floor((progress - self.begin) / self.every + 1e-6) + 1
        return self.factor ** max(0, falls)


class Constant(Schedule):
    """The maximum learning rate throughout."""

    def __call__(self, progress: float) -> float:
        """See :meth:`Schedule.__call__`."""
        return 1.0


def parameter_groups(
    module: nn.Module,
    parts: Sequence[str],
    lr_scales: Mapping[str, float],
    layer_decay: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Group trainable parameters by learning rate, and matrices apart from vectors (biases, norms, scales).

    Args:
        module: The system.
        parts: Names of its parts.
        lr_scales: See :func:`path_scales`.
        layer_decay: See :func:`layer_decay_scales`.

    Returns:
        Groups with ``params``, ``lr_scale`` and, for vectors, ``weight_decay`` 0; empty groups are left out.

    Raises:
        ValueError: if nothing is trainable, or ``lr_scales`` or ``layer_decay`` does not fit the system.
    """
    by_layer = layer_decay_scales(module, layer_decay or {})
    by_path = path_scales(module, lr_scales)
    groups: dict[tuple[str, float, bool], list[Tensor]] = {}
    for name in parts:
        part = getattr(module, name)
        trainable = [] if part is None else [p for p in part.parameters() if p.requires_grad]
        for parameter in sorted(trainable, key=lambda p: p.ndim <= 1):  # matrices first
            scale = by_path.get(parameter, 1.0) * by_layer.get(parameter, 1.0)
            groups.setdefault((name, scale, parameter.ndim <= 1), []).append(parameter)
    if not groups:
        raise ValueError(
            "Nothing is trainable: every part of the model is frozen; set frozen: false or add lora to one."
        )
    return [
        {"params": params, "lr_scale": scale, **({"weight_decay": 0.0} if vectors else {})}
        for (_, scale, vectors), params in groups.items()
    ]


def path_scales(module: nn.Module, lr_scales: Mapping[str, float]) -> dict[Tensor, float]:
    """Return the learning rate factors of the parameters of some submodules, by path (``audio_encoder.projection``).

    Of two paths one in the other the inner one counts. Parameters outside are left out, and so is a part that is None.

    Raises:
        ValueError: if a path is not in the system.
    """
    scales: dict[Tensor, float] = {}
    for path in sorted(lr_scales, key=lambda path: path.count(".")):
        outer, _, inner = path.partition(".")
        part = getattr(module, outer, None)
        if part is None:
            continue
        try:
            found = part.get_submodule(inner)
        except AttributeError as error:
            names = ", ".join(name for name, _ in part.named_children())
            raise ValueError(f"lr_scales names {path}, but {outer} has {names}.") from error
        scales |= dict.fromkeys(found.parameters(), lr_scales[path])
    return scales
