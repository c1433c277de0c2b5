"""Write every caption as soon as it is made, so that a killed run makes none of them twice."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from avcap import __version__
from avcap.callbacks.hooks import EvaluatedBatch, batch_end, data_of
from avcap.ids import id_hash

log = logging.getLogger(__name__)

Row = dict[str, Any]


class AppendCaptions(Callback):
    """Append the captions of each batch of `avcap predict` to ``<folder>/<rank>.jsonl``, a file for each process.

    Args:
        folder: Where the files go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @batch_end
    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, done: EvaluatedBatch) -> None:
        """Write a batch and close the file."""
        append_rows(self.folder / f"{trainer.global_rank}.jsonl", caption_rows_of(done))


class KeepCaptions(Callback):
    """Keep the captions of `avcap test` and `avcap predict` until the verb has ended well.

    They are in ``captions_<verb>_<hash>.parts`` in the folder of the run, a file for each process. The hash is that of all
    that decides them: the weights, how captions are decoded, the clips and how they are read. A system with an attribute
    ``known`` is given what an earlier start has made, and makes only the rest.
    """

    def __init__(self) -> None:
        self._parts: Path | None = None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read what an earlier start has made."""
        self._begin(trainer, pl_module, "test")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read what an earlier start has made."""
        self._begin(trainer, pl_module, "predict")

    @batch_end
    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, done: EvaluatedBatch) -> None:
        """Write the captions that are new."""
        if self._parts is not None:
            known = getattr(pl_module, "known", {})
            rows = [row for row in caption_rows_of(done) if row["id"] not in known]
            if rows:
                append_rows(self._parts / f"{trainer.global_rank}.jsonl", rows)

    on_predict_batch_end = on_test_batch_end

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Delete them: the verb has written its own file."""
        parts, self._parts = self._parts, None
        if parts is not None and trainer.is_global_zero:
            shutil.rmtree(parts, ignore_errors=True)

    def _begin(self, trainer: Trainer, pl_module: LightningModule, verb: str) -> None:
        data: Any = data_of(trainer)
        if not hasattr(pl_module, "known") or not hasattr(data, "clip_ids"):
            return
        facts = {
            "verb": verb,
            "weights": weights_hash(pl_module),
            "generation": dict(pl_module.decoder.generation),  # type: ignore[union-attr,arg-type]
            "nbest": getattr(pl_module, "nbest", None),
            "precision": str(trainer.precision),
            "data": data.reading(),
            "clips": id_hash(data.clip_ids(verb)),
            "avcap": __version__,
        }
        facts = trainer.strategy.broadcast(json.loads(json.dumps(facts, default=str)))
        mark = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
        self._parts = Path(trainer.default_root_dir) / f"captions_{verb}_{mark}.parts"
        known = read_appended(self._parts)
        trainer.strategy.barrier("captions are read")
        pl_module.known = known  # type: ignore[assignment]
        if trainer.is_global_zero:
            if known:
                log.warning(
                    "%d captions of an earlier start are in %s and are not made again.", len(known), self._parts
                )
            elif not self._parts.exists():
                append_rows(self._parts / "0.jsonl", [{"made_by": facts}])


def caption_rows_of(done: EvaluatedBatch) -> list[Row]:
    """Return ``{"id", "caption"}`` of each clip of a batch; with several captions also ``captions`` and ``log_probs``."""
    outputs, batch, _ = done
    rows: list[Row] = []
    for place, (clip, caption) in enumerate(zip(batch["id"], outputs["captions"], strict=True)):
        rows.append({"id": clip, "caption": caption})
        if outputs.get("nbest"):
            captions, scores = zip(*outputs["nbest"][place], strict=True)
            rows[-1] |= {"captions": list(captions), "log_probs": list(scores)}
    return rows


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append JSON lines to a file and flush them to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            file.write(b"\n")  # what a killed process left is a line of its own then, which readers pass over
        file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
        file.flush()
        os.fsync(file.fileno())


def read_appended(folder: Path) -> dict[str, Row]:
    """Read the rows by clip id from the files of all processes; skip a line that a kill cut short."""
    found: dict[str, Row] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().decode("utf-8", errors="replace").split("\n"):
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(row, dict) and "id" in row and "caption" in row:
                found.setdefault(row["id"], row)
    return found


def weights_hash(module: nn.Module) -> str:
    """Compute the SHA-256 of all weights and buffers of a module."""
    found = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        content = tensor.detach().cpu().contiguous()
        found.update(f"{name} {content.dtype} {list(content.shape)}".encode())
        found.update(content.reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()
