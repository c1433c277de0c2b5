"""A trained captioner's assignment maps measured against the true times of events, at several regularisations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from avcap.callbacks.map_quality import has_both, with_other_pictures
from avcap.losses.token_plan import TokenPlan
from avcap.metrics.map_quality import MapQuality, first_map
from avcap.models import CaptionModel
from avcap.models.parts import encode
from avcap.scenes.events import beside_the_shards, read_scenes
from avcap.scenes.truth import SceneTruth, nearness
from avcap.trained.clips import CheckpointClips
from avcap.types import Batch


def map_quality(
    source: CheckpointClips,
    *,
    epsilons: Sequence[float],
    events: Path | None = None,
    batch_size: int = 60,
    num_workers: int = 0,
    limit: int | None = None,
) -> dict[float | None, dict[str, float]]:
    """Compute what :class:`avcap.metrics.MapQuality` says of a captioner's maps at each epsilon.

    Beside it ``map_gain_shuffled``, with the frames of another clip, and ``map_gain_timed``, that of a map which is a Gaussian of the
    time between two tokens and knows nothing else.

    Args:
        source: The captioner and its clips; see :meth:`CheckpointClips.open`.
        epsilons: Regularisations of the transport plan. A fusion without one has a single row, under None.
        events: True times; None: the file beside the shards.
        batch_size: Clips at a time.
        num_workers: Processes that read clips.
        limit: Take the first clips only.

    Raises:
        FileNotFoundError: if there are no true times.
        ValueError: if the fusion makes no maps, or no clip has something to tell apart.
    """
    path = events or beside_the_shards(source.shards.folder.parent)
    if path is None:
        raise FileNotFoundError(
            f"There is no events.jsonl beside {source.shards.folder.parent}; name one with --events."
        )
    truth = SceneTruth(read_scenes(path))
    plans = [module for module in source.model.fusion.modules() if isinstance(module, TokenPlan)]
    measured = {epsilon: (MapQuality(), MapQuality(), MapQuality()) for epsilon in (epsilons if plans else [None])}
    for batch in source.batches(source.clips(limit=limit), batch_size=batch_size, num_workers=num_workers):
        if has_both(source.model, batch):
            _update(source.model, batch, truth, plans, measured)
    rows = {epsilon: _row(*metrics) for epsilon, metrics in measured.items()}
    if not all(row["map_clips"] for row in rows.values()):
        raise ValueError(f"No clip of {source.shards.folder} has known events that a map could tell apart.")
    return rows


@torch.inference_mode()
def _update(
    model: CaptionModel,
    batch: Batch,
    truth: SceneTruth,
    plans: Sequence[TokenPlan],
    measured: Mapping[float | None, tuple[MapQuality, ...]],
) -> None:
    """Measure a batch as it is, and with the frames of other clips, at every epsilon; encoded once."""
    audio, video = encode(model.audio_encoder, batch), encode(model.visual_encoder, batch)
    others = encode(model.visual_encoder, with_other_pictures(model, batch)) if len(batch["id"]) > 1 else None
    for epsilon, (own, shuffled, timed) in measured.items():
        if epsilon is not None:
            for plan in plans:
                plan.epsilon = epsilon
        maps = model.fusion(audio, video).maps
        if not maps:
            raise ValueError(f"{type(model.fusion).__name__} makes no assignment maps.")
        found = first_map(maps).to("cpu")
        pairs = truth(batch["id"], found)
        own.update(found.plan, pairs)
        timed.update(nearness(found), pairs)
        if others is not None:
            shuffled.update(first_map(model.fusion(audio, others).maps).plan.cpu(), pairs)


def _row(own: MapQuality, shuffled: MapQuality, timed: MapQuality) -> dict[str, float]:
    values = {name: float(value) for name, value in own.compute().items()}
    gains = {"map_gain_shuffled": shuffled, "map_gain_timed": timed}
    return {**values, **{name: float(metric.compute()["map_gain"]) for name, metric in gains.items()}}
