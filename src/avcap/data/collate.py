"""Clips -> samples of fixed size -> a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

import torch
from torch import Tensor
from torch.utils.data import default_collate

from avcap.data.transforms import Transform
from avcap.frontends import FrontEnd
from avcap.shards.item import Item
from avcap.types import Batch

UNREADABLE = "unreadable"  # key of a batch that the loader takes out of it


class Sample(TypedDict, total=False):
    """One clip, ready to be put into a batch. A stream that it lacks is left out."""

    id: str
    audio: Tensor  # [T, F] float32, normalised; [T] of a waveform
    audio_mask: Tensor  # [T] bool
    audio_time: Tensor  # [T] float32, seconds, padding as well
    frames: Tensor  # [N, 3, H, W] uint8
    frames_time: Tensor  # [N] float32
    visual_features: Tensor  # [N, C] float32
    visual_features_time: Tensor  # [N] float32
    caption: str
    prompt: str
    references: list[str]
    unreadable: dict[str, str]  # clips that this one replaces, with the reason


def audio_input(
    features: Tensor, frontend: FrontEnd, transforms: Sequence[Transform] = (), generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Pad or cut raw features, transform, normalise, transform.

    Args:
        features: What ``frontend.features`` gave, ``[T', F]``.
        frontend: The front end.
        transforms: Augmentation, applied in order before or after normalisation as each says.
        generator: Random generator of the transforms; needed if there are any.

    Returns:
        ``[T, F]`` float32 and its mask ``[T]``, True on real rows.

    Raises:
        ValueError: if there are transforms and no generator.
    """
    before = [transform for transform in transforms if not transform.normalised]
    after = [transform for transform in transforms if transform.normalised]
    out, mask = _transformed(*frontend.pad(features), before, generator)
    return _transformed(frontend.normalise(out), mask, after, generator)


def _transformed(
    x: Tensor, mask: Tensor, transforms: Sequence[Transform], generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    for transform in transforms:
        if generator is None:
            raise ValueError(f"{type(transform).__name__} needs a source of chance; pass a generator.")
        x, mask = transform(x, mask, generator)
    return x, mask


def to_sample(
    item: Item,
    frontend: FrontEnd | None,
    *,
    transforms: Sequence[Transform] = (),
    generator: torch.Generator | None = None,
    caption: str | None = None,
    prompt: str | None = None,
    references: Sequence[str] | None = None,
) -> Sample:
    """Build the sample of a clip: one row of a batch, not padded yet.

    ``frontend`` makes ``audio`` of its waveform, unless the item has the features already; what is None is left out.
    ``generator`` is for the transforms of ``audio``.
    """
    sample = Sample(id=item.id)
    features = item.audio
    if frontend is not None and features is None and item.waveform is not None:
        features = frontend.features(item.waveform)
    if frontend is not None and features is not None:
        sample["audio"], sample["audio_mask"] = audio_input(features, frontend, transforms, generator)
        sample["audio_time"] = row_times(len(sample["audio"]), frontend.hop)
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


def row_times(rows: int, hop: float) -> Tensor:
    """Return the middles of rows of ``hop`` seconds, ``[rows]`` float32: 0.005, 0.015, ... of a hop of 10 ms."""
    return ((torch.arange(rows, dtype=torch.float64) + 0.5) * hop).float()


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack whatever tensors the samples have; a sample that lacks one gets zeros and an all-False mask.

    Raises:
        ValueError: if the clips' frames or features differ in size.
    """
    entries: Sequence[Mapping[str, Any]] = samples
    batch: dict[str, Any] = {"id": [sample["id"] for sample in samples]}
    tensors = dict.fromkeys(name for sample in samples for name, x in sample.items() if isinstance(x, Tensor))
    for name in tensors:
        if not name.endswith(("_mask", "_time")):
            batch[name], batch[f"{name}_mask"] = _stack(samples, name)
            if f"{name}_time" in tensors:
                batch[f"{name}_time"] = _stack_times(samples, name, batch[f"{name}_mask"])
    for name in ("caption", "references"):
        if all(name in sample for sample in samples):
            batch[name] = [sample[name] for sample in entries]
    if any("prompt" in sample for sample in samples):
        batch["prompt"] = [sample.get("prompt") for sample in samples]
    if lost := [sample["unreadable"] for sample in samples if "unreadable" in sample]:
        batch[UNREADABLE] = {clip: reason for clips in lost for clip, reason in clips.items()}
    return cast(Batch, batch)  # its keys are those of the samples


def move(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its tensors on ``device``."""
    moved = {key: value.to(device) if isinstance(value, Tensor) else value for key, value in batch.items()}
    return cast(Batch, moved)


def _stack(samples: Sequence[Mapping[str, Any]], name: str) -> tuple[Tensor, Tensor]:
    """Pad one stream to its longest clip, ``[B, n, ...]``, and return it with its mask ``[B, n]``."""
    present: dict[int, Tensor] = {row: sample[name] for row, sample in enumerate(samples) if name in sample}
    shapes = {tuple(x.shape[1:]) for x in present.values()}
    if len(shapes) > 1:
        raise ValueError(f"The {name} of one batch differ in size: {sorted(shapes)}; prepare all clips alike.")
    longest = max(len(x) for x in present.values())
    if all(len(x) == longest for x in present.values()) and len(present) == len(samples):
        out = default_collate(list(present.values()))  # into shared memory where this is a worker
    else:
        out = next(iter(present.values())).new_zeros((len(samples), longest, *shapes.pop()))  # [B, n, ...]
        for row, x in present.items():
            out[row, : len(x)] = x
    mask = torch.zeros(len(samples), longest, dtype=torch.bool)
    for row, x in present.items():
        mask[row, : len(x)] = samples[row].get(f"{name}_mask", True)
    return out, mask


def _stack_times(samples: Sequence[Mapping[str, Any]], name: str, mask: Tensor) -> Tensor:
    """Stack the times of one stream, ``[B, n]`` as its mask; NaN for a clip that has none."""
    out = torch.full(mask.shape, torch.nan)
    for row, sample in enumerate(samples):
        times = sample.get(f"{name}_time", out.new_empty(0))
        out[row, : len(times)] = times
    return out
