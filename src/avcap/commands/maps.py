"""`avcap maps`: a trained captioner's assignment maps measured against true times, at several regularisations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from avcap.callbacks.map_quality import has_both, shown_map, with_other_pictures
from avcap.losses.token_plan import TokenPlan
from avcap.metrics.map_quality import MapQuality
from avcap.models.parts import encode
from avcap.scenes.events import beside_the_shards, read_scenes
from avcap.scenes.truth import SceneTruth, nearness
from avcap.study.report.table import align
from avcap.systems import Captioner
from avcap.trained.clips import CheckpointClips
from avcap.types import Batch

COLUMNS = {
    "map_mass": "mass on true pairs",
    "map_uniform": "uniform",
    "map_gain": "gain",
    "map_skill": "skill",
    "map_gain_shuffled": "gain, shuffled",
    "map_gain_timed": "gain, time alone",
}


def maps(
    *,
    ckpt_path: Path = Path("runs/demo/checkpoints/best.ckpt"),
    epsilons: list[float] = [0.02, 0.05, 0.1, 0.2, 0.5],  # noqa: B006 (a schema default; never changed)
    shards: Path | None = None,
    config: Path | None = None,
    events: Path | None = None,
    split: str = "test",
    batch_size: int = 60,
    num_workers: int = 1,
    limit: int | None = None,
) -> None:
    """Print how much of the assignment maps' mass falls on pairs of tokens of the same event.

    The plan is solved again at each epsilon with the tokens of the trained model. A gain of 1 is that of a uniform map; the
    shuffled one has the frames of another clip, that of time alone knows when tokens are and nothing else.
    docs/lavcap.md defines the columns.

    Args:
        ckpt_path: Checkpoint of a trained captioner whose fusion makes maps.
        epsilons: Regularisations of the transport plan; of maps that are no plans the one row has none.
        shards: Folder of the shards; null: the one that the config names.
        config: The config of the run; null: config.yaml in its folder, two above the checkpoint.
        events: An events.jsonl with the true times; null: the one beside the shards.
        split: The split to measure on.
        batch_size: Clips at a time.
        num_workers: Processes that read clips.
        limit: Take the first clips only.

    Raises:
        FileNotFoundError: if the checkpoint, its config, the shards or the true times are not there.
        ValueError: if the fusion makes no maps, or no clip has something to tell apart.
    """
    source = CheckpointClips.open(ckpt_path, shards=shards, config=config, split=split)
    found = map_quality(
        source, epsilons=epsilons, events=events, batch_size=batch_size, num_workers=num_workers, limit=limit
    )
    body = [["-" if e is None else f"{e:g}", *(f"{row[name]:.3f}" for name in COLUMNS)] for e, row in found.items()]
    print("\n".join(align(["epsilon", *COLUMNS.values()], body)))
    print(
        f"\n{next(iter(found.values()))['map_clips']:.0f} clips of {source.shards.folder} whose pairs can be told apart"
    )


def map_quality(
    source: CheckpointClips,
    *,
    epsilons: Sequence[float],
    events: Path | None = None,
    batch_size: int = 60,
    num_workers: int = 0,
    limit: int | None = None,
) -> dict[float | None, dict[str, float]]:
    """Compute :class:`avcap.metrics.MapQuality` of a captioner's maps at each epsilon.

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
    model: Captioner,
    batch: Batch,
    truth: SceneTruth,
    plans: Sequence[TokenPlan],
    measured: Mapping[float | None, tuple[MapQuality, ...]],
) -> None:
    """Measure a batch as it is, and with the frames of other clips, at every epsilon; encoded once."""
    audio, video = encode(model.audio_encoder, batch), encode(model.visual_encoder, batch)
    others = encode(model.visual_encoder, with_other_pictures(model, batch)) if len(batch["id"]) > 1 else None
    for epsilon, (own, shuffled, timed) in measured.items():
        for plan in plans:
            plan.epsilon = epsilon
        maps = model.fusion(audio, video).maps
        if not maps:
            raise ValueError(f"{type(model.fusion).__name__} makes no assignment maps.")
        found = shown_map(maps).to("cpu")
        pairs = truth(batch["id"], found)
        own.update(found.plan, pairs)
        timed.update(nearness(found), pairs)
        if others is not None:
            shuffled.update(shown_map(model.fusion(audio, others).maps).plan.cpu(), pairs)


def _row(own: MapQuality, shuffled: MapQuality, timed: MapQuality) -> dict[str, float]:
    values = {name: float(value) for name, value in own.compute().items()}
    gains = {"map_gain_shuffled": shuffled, "map_gain_timed": timed}
    return {**values, **{name: float(metric.compute()["map_gain"]) for name, metric in gains.items()}}
