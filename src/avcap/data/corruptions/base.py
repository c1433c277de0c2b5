"""The corruption contract: takes a decoded clip, returns it with one stream corrupted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch

from avcap.shards.item import Item


@dataclass(frozen=True)
class CorruptionSource:
    """What a corruption may use besides the clip.

    Attributes:
        generator: The only source of randomness; it depends on the seed and the clip's id alone.
        other: Returns another clip that has the stream, ``audio`` or ``video``; always the same one for a clip.
    """

    generator: torch.Generator
    other: Callable[[str], Item]


class Corruption(ABC):
    """Corrupts one stream of a clip, before anything is padded, cut or normalised; a clip without that stream stays as it is.

    Attributes:
        stream: ``audio`` or ``video``.
        family: Which corruption of the other stream it is compared with.
        inputs: The entries of a batch that it can corrupt; a model that reads the stream from another entry cannot be tested with it.
    """

    stream: ClassVar[str]
    family: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]]

    @property
    def level(self) -> str:
        """Strength in a word; empty if there is only one."""
        return ""

    @property
    def name(self) -> str:
        """Stream, family and level, safe as a file name."""
        return "_".join(part for part in (self.stream, self.family, self.level) if part)

    @abstractmethod
    def __call__(self, item: Item, source: CorruptionSource) -> Item:
        """Return the corrupted clip, without changing ``item``."""


class Drop(Corruption):
    """Drops parts of the clip.

    Args:
        share: Share of the parts, chosen at random.

    Raises:
        ValueError: unless the share is above 0 and at most 1.
    """

    family: ClassVar[str] = "drop"

    def __init__(self, share: float = 0.5) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {share}.")
        self.share = share

    @property
    def level(self) -> str:
        """The share in percent."""
        return f"{100 * self.share:g}pct"


class Shift(Corruption):
    """Delays the stream.

    Args:
        seconds: How much later; below 0: earlier.
    """

    family: ClassVar[str] = "shift"

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds

    @property
    def level(self) -> str:
        """The delay."""
        return f"{self.seconds:g}s"


def drop_parts(parts: int, share: float, generator: torch.Generator) -> torch.Tensor:
    """Draw which of ``parts`` equal parts of a clip are lost, ``[parts]`` bool: the number nearest to the share, at least one.

    Of one clip, those lost at a small share are lost at a larger one too.
    """
    order = torch.randperm(parts, generator=generator)
    lost = torch.zeros(parts, dtype=torch.bool)
    lost[order[: max(1, round(share * parts))]] = True
    return lost
