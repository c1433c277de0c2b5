"""Measure assignment maps against the true times of events, while a model trains and when it is tested."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from avcap.callbacks.hooks import CaptionerParts, EvaluatedBatch, batch_end, data_of
from avcap.metrics.map_quality import MapQuality, first_map
from avcap.scenes.events import beside_the_shards, read_scenes
from avcap.scenes.truth import SceneTruth
from avcap.types import Batch


class MeasureMaps(Callback):
    """Log how much of the maps' mass falls on pairs of tokens of the same event: ``val/map_gain``, ``test/map_gain`` and others.

    Only where the fusion makes maps and the true times are known. Beside the map's own share (``map_mass``) stand that of a
    uniform map (``map_uniform``), the ratio of the two (``map_gain``, 1 is chance level), the progress from the uniform map to a
    perfect one (``map_skill``), and the gain of maps whose frames are those of another clip (``map_gain_shuffled``):
    the part of the gain that does not depend on the video.

    Args:
        events: An ``events.jsonl`` with the true times; None for the one beside the shards, where there is one.
        batches: How many batches are fused a second time with shuffled frames; 0 leaves the control out.
    """

    def __init__(self, events: Path | None = None, batches: int = 4) -> None:
        self.events = events
        self.batches = batches
        self._truth: SceneTruth | None = None
        self._own, self._shuffled = MapQuality(), MapQuality()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the true times, once."""
        for metric in (self._own, self._shuffled):
            metric.to(pl_module.device).reset()
        path = self.events or beside_the_shards(getattr(data_of(trainer), "shards", None))
        if self._truth is None and path is not None:
            self._truth = SceneTruth(read_scenes(path))

    on_test_start = on_validation_start

    @batch_end
    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, done: EvaluatedBatch) -> None:
        """Measure the maps of a batch."""
        model = cast(CaptionerParts, pl_module)
        outputs, batch, number = done
        maps = outputs.get("maps")
        if not maps or self._truth is None or not has_both(model, batch):
            return
        found = first_map(maps)
        if not found.is_timed():
            rank_zero_warn(
                "The maps are not measured: the times of their tokens are unknown. An encoder sets Tokens.time, a data module "
                "<input>_time and the duration of each clip."
            )
            return
        truth = self._truth(batch["id"], found)
        self._own.update(found.plan, truth)
        if number < self.batches and len(batch["id"]) > 1:
            with torch.no_grad(), trainer.precision_plugin.val_step_context():
                other = model.fuse(with_other_pictures(model, batch))
            self._shuffled.update(first_map(other.maps).plan, truth)

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log over all processes."""
        self._log("val", trainer, pl_module)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log over all processes."""
        self._log("test", trainer, pl_module)

    def _log(self, stage: str, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._truth is None or trainer.sanity_checking:
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The ``compute`` method")  # no maps, or none in this process
            values, shuffled = self._own.compute(), self._shuffled.compute()
        if not float(values["map_clips"]):
            return
        if float(shuffled["map_clips"]):
            values["map_gain_shuffled"] = shuffled["map_gain"]
        pl_module.log_dict({f"{stage}/{name}": value.float() for name, value in values.items()})


def has_both(model: CaptionerParts, batch: Batch) -> bool:
    """Return whether the model reads both streams and the batch has them."""
    encoders = (model.audio_encoder, model.visual_encoder)
    return all(encoder is not None and encoder.input in batch for encoder in encoders)


def with_other_pictures(model: CaptionerParts, batch: Batch) -> Batch:
    """Return the batch with each clip's visual input replaced by that of the clip before it; unchanged for a model that reads no video."""
    if model.visual_encoder is None:
        return batch
    name, inputs = model.visual_encoder.input, cast(dict[str, Any], batch)
    rolled = {key: inputs[key].roll(1, dims=0) for key in (name, f"{name}_mask", f"{name}_time") if key in inputs}
    return cast(Batch, inputs | rolled)
