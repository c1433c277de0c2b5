"""Clips -> samples of fixed size -> a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

from avcap.data.front_end import HOP, SAMPLE_RATE, FrontEnd
from avcap.data.item import Item
from avcap.data.transforms import Transform
from avcap.types import Batch


class Sample(TypedDict, total=False):
    """One clip, ready to be put into a batch. A stream that it lacks is left out."""

    id: str
    fbank: Tensor  # [T, F] float32, normalised
    fbank_mask: Tensor  # [T] bool
    fbank_time: Tensor  # [T] float32, seconds, padding as well
    frames: Tensor  # [N, 3, H, W] uint8
    frames_time: Tensor  # [N] float32
    visual_features: Tensor  # [N, C] float32
    visual_features_time: Tensor  # [N] float32
    caption: str
    prompt: str
    references: list[str]


@dataclass(frozen=True)
class Framing:
    """How a raw spectrogram becomes the encoder's input.

    Attributes:
        target_length: Rows T: a longer spectrogram keeps its first ones, a shorter one is padded.
        mean: Subtracted after padding.
        std: Divided by after that.
        pad_value: What a padded row holds before that.
    """

    target_length: int = 1024
    mean: float = 0.0
    std: float = 1.0
    pad_value: float = 0.0

    def __post_init__(self) -> None:
        if self.target_length < 1 or self.std <= 0:
            raise ValueError(
                f"target_length must be at least 1 and std positive, got {self.target_length} and {self.std}."
            )

    @classmethod
    def of(cls, front_end: FrontEnd, target_length: int = 1024) -> Framing:
        """The usual normalisation of a front end."""
        return cls(target_length, front_end.mean, front_end.std, front_end.pad_value)

    def __call__(
        self, fbank: Tensor, transforms: Sequence[Transform] = (), generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Pad or cut, transform, normalise, transform.

        Args:
            fbank: Raw spectrogram ``[T', F]``.
            transforms: Augmentation, applied in order before or after normalisation as each says.
            generator: Their source of chance; needed where there are any.

        Returns:
            ``[T, F]`` float32 and its mask ``[T]``, True on real rows.
        """
        real = min(len(fbank), self.target_length)
        out = fbank.new_full((self.target_length, fbank.shape[1]), self.pad_value, dtype=torch.float32)
        out[:real] = fbank[:real]
        mask = torch.arange(self.target_length) < real
        for transform in transforms:
            if not transform.normalised:
                out, mask = transform(out, mask, generator)
        out = (out - self.mean) / self.std
        for transform in transforms:
            if transform.normalised:
                out, mask = transform(out, mask, generator)
        return out, mask


def to_sample(
    item: Item,
    framing: Framing,
    *,
    transforms: Sequence[Transform] = (),
    generator: torch.Generator | None = None,
    caption: str | None = None,
    prompt: str | None = None,
    references: Sequence[str] | None = None,
) -> Sample:
    """A clip in the shape of a batch's row.

    Args:
        item: The decoded clip.
        framing: For its spectrogram.
        transforms: Augmentation of its spectrogram.
        generator: Their source of chance.
        caption: Target caption; None leaves it out.
        prompt: Instruction that asks for it; None leaves it out.
        references: Reference captions; None leaves them out.
    """
    sample = Sample(id=item.id)
    if item.fbank is not None:
        sample["fbank"], sample["fbank_mask"] = framing(item.fbank, transforms, generator)
        sample["fbank_time"] = row_times(len(sample["fbank"]))
    if item.frames is not None:
        sample["frames"] = item.frames
        if item.frames_time is not None:
            sample["frames_time"] = item.frames_time
    if item.visual_features is not None:
        sample["visual_features"] = item.visual_features
        sample["visual_features_time"] = item.picture_times(len(item.visual_features))
    if caption is not None:
        sample["caption"] = caption
    if prompt is not None:
        sample["prompt"] = prompt
    if references is not None:
        sample["references"] = list(references)
    return sample


def row_times(rows: int) -> Tensor:
    """Middles of the rows of a spectrogram in seconds ``[rows]`` float32: 0.005, 0.015, ..."""
    return ((torch.arange(rows, dtype=torch.float64) + 0.5) * (HOP / SAMPLE_RATE)).float()


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples. A stream that no sample has is left out; a sample that lacks one gets zeros and an all-False mask.

    Raises:
        ValueError: if the samples' pictures or spectrograms differ in size.
    """
    batch = Batch(id=[sample["id"] for sample in samples])
    for name in ("fbank", "frames", "visual_features"):
        stacked = _stack(samples, name)
        if stacked is not None:
            batch[name], batch[f"{name}_mask"] = stacked
            if any(f"{name}_time" in sample for sample in samples):
                batch[f"{name}_time"] = _stack_times(samples, name, batch[f"{name}_mask"])
    for name in ("caption", "references"):
        if all(name in sample for sample in samples):
            batch[name] = [sample[name] for sample in samples]
    if any("prompt" in sample for sample in samples):
        batch["prompt"] = [sample.get("prompt") for sample in samples]
    return batch


def _stack(samples: Sequence[Sample], name: str) -> tuple[Tensor, Tensor] | None:
    """One stream ``[B, n, ...]``, padded to its longest, and its mask ``[B, n]``."""
    present = {row: sample[name] for row, sample in enumerate(samples) if name in sample}
    if not present:
        return None
    shapes = {tuple(x.shape[1:]) for x in present.values()}
    if len(shapes) > 1:
        raise ValueError(f"The {name} of one batch differ in size: {sorted(shapes)}; prepare all clips alike.")
    first = next(iter(present.values()))
    longest = max(len(x) for x in present.values())
    out = first.new_zeros((len(samples), longest, *first.shape[1:]))  # [B, n, ...]
    mask = torch.zeros(len(samples), longest, dtype=torch.bool)
    for row, x in present.items():
        out[row, : len(x)] = x
        mask[row, : len(x)] = samples[row].get(f"{name}_mask", True)
    return out, mask


def _stack_times(samples: Sequence[Sample], name: str, mask: Tensor) -> Tensor:
    """The times of one stream ``[B, n]`` as long as its mask; NaN where a sample has none."""
    out = torch.full(mask.shape, torch.nan)
    for row, sample in enumerate(samples):
        times = sample.get(f"{name}_time", out.new_empty(0))
        out[row, : len(times)] = times
    return out
