"""Write the results of a test: scores, captions, maps."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from avcap.callbacks.hooks import CaptionerParts, EvaluatedBatch, batch_end, data_of, in_order
from avcap.callbacks.naming import AddNaming
from avcap.callbacks.save_best import selection_of
from avcap.callbacks.speed import read_speed
from avcap.figures import draw_map
from avcap.figures.parts import picture_parts
from avcap.ids import file_name
from avcap.metrics import comparing, constant_caption, human_bound
from avcap.metrics.predictions import write_predictions
from avcap.metrics.results import make_results, write_results
from avcap.scenes.events import beside_the_shards, read_scenes

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class WriteResults(Callback):
    """After ``avcap test``: ``results.json``, ``predictions.jsonl`` and ``maps/<id>.png`` in the folder of the run.

    The results hold, beside the system's own scores, the human bound of the same clips (each first reference scored
    against the others) and the best constant caption, so that the numbers can be read. Where the true events of all clips
    are known and the references name them, the scores tell too how often a caption names the right kind of sound. If the
    scores fail, ``predictions.jsonl`` holds the captions without them.

    Args:
        folder: Where to write; None for ``trainer.default_root_dir``.
        maps: How many assignment maps to draw; where the true times are known, rather of clips with several audible
            objects in sight, since a map of one object has nothing to tell apart.
        events: An ``events.jsonl`` with the kinds and true times of what sounds and is seen, for names and maps; None for
            the one beside the shards, where there is one.
        baselines: Whether to score the human bound and the constant caption too.
    """

    def __init__(
        self, folder: Path | None = None, maps: int = 3, events: Path | None = None, baselines: bool = True
    ) -> None:
        self.folder, self.maps, self.events, self.baselines = folder, maps, events, baselines
        self._drawn: dict[str, dict[str, Any]] = {}
        self._spare: dict[str, dict[str, Any]] = {}  # for want of better ones
        self._events: dict[str, list[dict[str, Any]]] = {}
        self._loaded: dict[str, Any] = {}  # of the checkpoint, what tells how it was chosen

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep what tells how the checkpoint was chosen."""
        self._loaded = {key: checkpoint.get(key) for key in ("callbacks", "global_step", "epoch")}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the events."""
        self._drawn, self._spare = {}, {}
        scenes = read_scenes(self.events or beside_the_shards(getattr(data_of(trainer), "shards", None)))
        self._events = {clip: scene.events for clip, scene in scenes.items()}

    @batch_end
    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, done: EvaluatedBatch) -> None:
        """Keep what the first maps need."""
        outputs, batch, _ = done
        if not trainer.is_global_zero or not outputs.get("maps"):
            return
        found = next(iter(outputs["maps"].values()))
        for clip, name in enumerate(batch["id"]):
            if len(self._drawn) == self.maps:
                return
            pairs = [event for event in self._events.get(name, ()) if event["audio"] and event["visual"]]
            kept = self._spare if name in self._events and len(pairs) < 2 else self._drawn
            if len(kept) < self.maps:
                parts = picture_parts(batch, found, clip, outputs["captions"][clip])
                if parts is not None:
                    kept[name] = {**parts, "events": self._events.get(name)}

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write everything, on the first process."""
        collected = getattr(pl_module, "test_scores", None)
        if not trainer.is_global_zero or collected is None:
            return
        folder = self.folder or Path(trainer.default_root_dir)
        rows = collected.rows()
        references = {row["id"]: row["references"] for row in rows}
        naming = AddNaming(self._events, references)
        scores = naming(collected.scores, {row["id"]: row["caption"] for row in rows})
        bound = constant = None
        if self.baselines:
            names = comparing(collected.scores.corpus)
            if min(map(len, references.values())) > 1:
                firsts = {clip: captions[0] for clip, captions in references.items()}
                bound = _tried("human bound", lambda: naming(human_bound(references, metrics=names), firsts))
            captions = _training_captions(trainer, references)
            constant = _tried("constant caption", lambda: constant_caption(captions, references, metrics=names))
            if constant is not None:
                same = dict.fromkeys(references, constant.caption)
                constant = constant._replace(scores=naming(constant.scores, same))
        results = make_results(
            type(pl_module).__name__ + ":" + type(pl_module.fusion).__name__,
            scores,
            human_bound=bound,
            constant=constant,
            settings={**_settings(trainer, pl_module), "selection": selection_of(self._loaded, references)},
        )
        results["training"] = _tried("speed of the training", lambda: read_speed(Path(trainer.default_root_dir)))
        results["maps"] = {
            name.removeprefix("test/"): float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith("test/map_")
        }
        self._write_captions(trainer, {row["id"]: {**row, "scores": scores.clips[row["id"]]} for row in rows})
        self._draw(folder / "maps")
        write_results(folder / "results.json", results)  # last: where it stands, the rest stands too
        self._log(trainer, pl_module, scores.corpus)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write the captions of all clips, where they are made and the scores failed."""
        collected = getattr(pl_module, "test_scores", None)
        if trainer.testing and trainer.is_global_zero and collected is not None and collected.captions:
            path = self._write_captions(
                trainer, {clip: {"id": clip, **row} for clip, row in collected.captions.items()}
            )
            log.warning("The scores failed; the captions of all clips are in %s.", path)

    def _write_captions(self, trainer: Trainer, rows: dict[str, dict[str, Any]]) -> Path:
        folder = self.folder or Path(trainer.default_root_dir)
        (folder / "results.json").unlink(missing_ok=True)  # of an earlier test: where it stands, the rest belongs to it
        write_predictions(folder / "predictions.jsonl", in_order(trainer, "test", rows))
        return folder / "predictions.jsonl"

    def _draw(self, folder: Path) -> None:
        for name, parts in list((self._drawn | self._spare).items())[: self.maps]:
            draw_map(folder / f"{file_name(name)}.png", **parts)
        self._drawn, self._spare = {}, {}

    @staticmethod
    def _log(trainer: Trainer, pl_module: LightningModule, scores: dict[str, float]) -> None:
        """Log the settings of the run with its final scores, so that TensorBoard can compare runs."""
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(
                    dict(pl_module.hparams), {f"test/{name}": value for name, value in scores.items()}
                )


def _tried(name: str, make: Callable[[], _T]) -> _T | None:
    """Return a baseline; None, with the reason told, where it cannot be made."""
    try:
        return make()
    except (ValueError, OSError, RuntimeError) as error:
        log.warning("The %s is left out: %s", name, error)
        return None


def _training_captions(trainer: Trainer, references: dict[str, list[str]]) -> list[str]:
    """Return the captions of the training split, or the references if there is no training split."""
    data = data_of(trainer)
    captions = data.training_captions() if hasattr(data, "training_captions") else []
    return captions or [caption for clip in references.values() for caption in clip]


def _settings(trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
    """Return what decides the scores besides the code: :mod:`avcap.study.protocol` reads it."""
    parameters = list(pl_module.parameters())
    data = data_of(trainer)
    seed = os.environ.get("PL_GLOBAL_SEED")
    lists = getattr(getattr(data, "clips", None), "ids", {})
    return {
        "checkpoint": str(trainer.ckpt_path or " ".join(map(str, getattr(pl_module, "released", ())))),
        "split": data.splits("test")[0] if hasattr(data, "splits") else None,
        "ids": str(lists["test"]) if "test" in lists else None,
        "seed": int(seed) if seed else None,
        "generation": dict(cast(CaptionerParts, pl_module).decoder.generation),
        "parameters": {
            "trainable": sum(p.numel() for p in parameters if p.requires_grad),
            "all": sum(p.numel() for p in parameters),
        },
        "precision": str(trainer.precision),
    }
