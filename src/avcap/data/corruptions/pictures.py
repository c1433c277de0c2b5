"""Corruptions of the frames, or of the visual features that a frozen encoder made of them."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from avcap.data.corruptions.base import Corruption, CorruptionSource, Drop, Shift, drop_parts
from avcap.data.corruptions.smoothing import smooth
from avcap.data.corruptions.sound import delay
from avcap.shards.item import Item

if TYPE_CHECKING:
    from torch import Tensor

WHITE = 255


class PictureCorruption(Corruption):
    """A corruption of all of a clip's stored frames, and of its visual features in the same manner."""

    stream: ClassVar[str] = "video"
    inputs: ClassVar[tuple[str, ...]] = ("frames", "visual_features")

    def __call__(self, item: Item, source: CorruptionSource) -> Item:
        """See :meth:`Corruption.__call__`."""
        state = source.generator.get_state()
        corrupted: dict[str, Any] = {}
        for name in self.inputs:
            rows = getattr(item, name)
            if rows is not None:
                source.generator.set_state(state)  # a frame and its features get the same random choices
                corrupted[name] = self.corrupt(rows, item, source)
        return replace(item, **corrupted)

    @abstractmethod
    def corrupt(self, rows: Tensor, item: Item, source: CorruptionSource) -> Tensor:
        """Return corrupted frames ``[N, 3, H, W]`` uint8, or features ``[N, C]`` float32."""


class BlackPictures(PictureCorruption):
    """Black frames; features are set to 0."""

    family: ClassVar[str] = "suppress"

    def corrupt(self, rows: Tensor, item: Item, source: CorruptionSource) -> Tensor:
        """See :meth:`PictureCorruption.corrupt`."""
        return torch.zeros_like(rows)


class SwappedPictures(Corruption):
    """The frames (and features) of another clip of the split."""

    stream: ClassVar[str] = "video"
    family: ClassVar[str] = "swap"
    inputs: ClassVar[tuple[str, ...]] = ("frames", "visual_features")

    def __call__(self, item: Item, source: CorruptionSource) -> Item:
        """See :meth:`Corruption.__call__`."""
        if item.frames is None and item.visual_features is None:
            return item
        other = source.other(self.stream)
        taken = ("frames", "frames_time", "visual_features", "video_seconds")
        return replace(item, **{name: getattr(other, name) for name in taken})


class NoisyPictures(PictureCorruption):
    """Gaussian noise on every value; for one clip the same noise at every level.

    Args:
        deviation: Standard deviation as a share of the range 0..255 (the levels of Hendrycks and Dietterich, ICLR 2019, are
            0.08, 0.12, 0.18, 0.26 and 0.38); on features, of the root mean square of the clip's.
    """

    family: ClassVar[str] = "noise"

    def __init__(self, deviation: float = 0.18) -> None:
        if deviation <= 0:
            raise ValueError(f"deviation must be above 0, got {deviation}.")
        self.deviation = deviation

    @property
    def level(self) -> str:
        """The deviation."""
        return f"{self.deviation:g}"

    def corrupt(self, rows: Tensor, item: Item, source: CorruptionSource) -> Tensor:
        """See :meth:`PictureCorruption.corrupt`."""
        noise = self.deviation * torch.randn(rows.shape, generator=source.generator)
        if rows.dtype == torch.uint8:
            return (rows + WHITE * noise).round_().clamp_(0, WHITE).to(torch.uint8)
        return rows + noise * rows.square().mean().sqrt()


class BlurredPictures(PictureCorruption):
    """Gaussian blur. Features made beforehand cannot be blurred.

    Args:
        sigma: Standard deviation of the Gaussian as a share of the frame's height.
    """

    family: ClassVar[str] = "blur"
    inputs: ClassVar[tuple[str, ...]] = ("frames",)

    def __init__(self, sigma: float = 0.03) -> None:
        if sigma <= 0:
            raise ValueError(f"sigma must be above 0, got {sigma}.")
        self.sigma = sigma

    @property
    def level(self) -> str:
        """Sigma in percent."""
        return f"{100 * self.sigma:g}pct"

    def corrupt(self, rows: Tensor, item: Item, source: CorruptionSource) -> Tensor:
        """See :meth:`PictureCorruption.corrupt`."""
        deviation = self.sigma * rows.shape[-2]
        blurred = rows.float()
        for _ in ("along the rows", "along the columns"):
            blurred = (
                smooth(blurred.flatten(0, -2), deviation).view(blurred.shape).mT
            )  # [N, 3, W, H], then [N, 3, H, W]
        return blurred.round().clamp(0, WHITE).to(torch.uint8)


class DroppedPictures(Drop, PictureCorruption):
    """Some of the clip's stored frames replaced by black ones; features are set to 0.

    Args:
        share: Share of the frames, chosen at random.
    """

    def corrupt(self, rows: Tensor, item: Item, source: CorruptionSource) -> Tensor:
        """See :meth:`PictureCorruption.corrupt`."""
        lost = drop_parts(len(rows), self.share, source.generator)
        return rows.masked_fill(lost.view(-1, *(1,) * (rows.dim() - 1)), 0)


class ShiftedPictures(Shift, PictureCorruption):
    """Shifts the frames to later (or earlier) times, by whole frames; fills the gap with black ones and loses those that pass the end.

    Frames stand at even times over the clip. Where its length is not known, or it is a single frame, it stays as it is.

    Args:
        seconds: How much later; below 0: earlier. Brought to the nearest number of whole frames.
    """

    def corrupt(self, rows: Tensor, item: Item, source: CorruptionSource) -> Tensor:
        """See :meth:`PictureCorruption.corrupt`."""
        if math.isnan(item.duration) or len(rows) == 1:
            return rows
        return delay(rows, round(self.seconds * len(rows) / item.duration), torch.zeros_like(rows))
