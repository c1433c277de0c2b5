"""`avcap dali pseudo-label`: a captioner's own captions of a split, to train on (DALI's second stage)."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser
from torch.utils.data import Dataset

from avcap import __version__
from avcap.atomic import write_atomically
from avcap.callbacks import KeepCaptions, WritePredictions
from avcap.callbacks.keep_captions import AppendCaptions, read_appended
from avcap.captions.rows import CaptionRows, write_caption_rows
from avcap.data import AudioCapsDataModule
from avcap.data.collate import Sample
from avcap.data.dataset import ClipDataset
from avcap.data.loader import ClipLoader
from avcap.data.provided import require_provided
from avcap.data.sampler import ClipBatchSampler
from avcap.ids import name_some
from avcap.lightning_cli import AvcapCLI, build_cli, exit_status
from avcap.systems import Captioner
from avcap.weights.reading import fingerprints

log = logging.getLogger(__name__)


class LabelCLI(AvcapCLI):
    """Takes the options of `avcap predict` and those of the verb."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Describe the file to write: its path, split and weights."""
        super().add_arguments_to_parser(parser)
        parser.add_argument("--out", type=Path, default="runs/dali/pseudo.jsonl", help="the JSON lines to write")
        parser.add_argument("--split", type=str, default="train", help="the split to caption")
        parser.add_argument(
            "--ckpt_path", type=Path | None, default=None, help="a captioner's checkpoint; null: the config's weights"
        )


def pseudo_label(args: Sequence[str]) -> None:
    """Caption a split with the captioner of a config; ``args`` are those of `avcap predict`, ``--out`` and ``--split``.

    Every process appends its captions to its own file in ``<out>.parts``; the first one merges them. Run again after
    a kill, also with another number of processes, it resumes with the clips that have no caption yet.

    Raises:
        SystemExit: with status 2, for a wrong option or config.
        ValueError: if the config is no captioner, or the parts were made by other weights or settings.
    """
    cli = build_cli(args, run=False, kind=LabelCLI, parser_kwargs={"prog": "avcap dali pseudo-label"})
    if not isinstance(cli.model, Captioner):
        raise ValueError(f"avcap dali pseudo-label needs a Captioner, not {type(cli.model).__name__}.")
    provenance = {
        "split": cli.config.split,
        "model": cli.config.model.as_dict(),
        "checkpoint": None if cli.config.ckpt_path is None else str(cli.config.ckpt_path),
        "files": fingerprints([cli.config.model.as_dict(), cli.config.ckpt_path, cli.config.weights]),
        "generation": dict(cli.model.decoder.generation),
        "avcap": __version__,
    }
    provenance = json.loads(json.dumps(provenance, default=_name))
    if cli.config.ckpt_path is None:
        cli.model.released = cli.config.weights or ()
    else:
        cli.expect(cli.config.ckpt_path)
    with exit_status():
        label(cli.trainer, cli.model, cli.datamodule, provenance=provenance, out=cli.config.out)


def label(
    trainer: Trainer, model: Captioner, data: AudioCapsDataModule, *, provenance: dict[str, Any], out: Path
) -> None:
    """Caption the clips of ``provenance["split"]`` that have no caption yet, then merge all; a finished file stays as it is.

    Args:
        trainer: Of any number of processes.
        model: The captioner.
        data: The data module; its evaluation settings hold.
        provenance: How the captions are made: ``split``, ``checkpoint`` and whatever a reader should know.
        out: The JSON lines to write; the first line is ``{"provenance": ...}`` with ``clips`` and ``id_hash`` added.

    Raises:
        ValueError: if ``<out>.parts`` holds captions that were made otherwise, or the clips lack what the captioner reads.
    """
    dataset = data.serve(model.inputs).dataset(provenance["split"])
    require_provided(model.inputs, dataset.shards.info, dataset.shards.folder)
    parts = out.with_name(f"{out.name}.parts")
    if not parts.exists() and out.is_file() and CaptionRows.read(out).provenance.items() >= provenance.items():
        print(f"{out} holds the captions of this captioner already.")
        return
    if trainer.is_global_zero:
        _begin(parts, provenance)
    said = read_appended(parts)
    missing = [place for place, clip in enumerate(dataset.ids) if clip not in said]
    if missing:
        hooks: Any = trainer  # Lightning declares no type for the list of callbacks
        keep = [callback for callback in hooks.callbacks if not isinstance(callback, KeepCaptions | WritePredictions)]
        hooks.callbacks = [*keep, AppendCaptions(parts)]
        sampler = ClipBatchSampler(
            len(missing), data.eval_batch_size, shuffle=False, rank=trainer.global_rank, world_size=trainer.world_size
        )
        loader = ClipLoader(_Rest(dataset, missing), sampler, num_workers=data.num_workers)
        trainer.predict(model, loader, ckpt_path=provenance["checkpoint"], return_predictions=False)
        trainer.strategy.barrier("all have written")
    if trainer.is_global_zero:
        _merge(parts, dataset.ids, provenance, out)


def _name(value: object) -> str:
    """Return what stands for a value in JSON: a function's own text holds an address, which each process has anew."""
    return f"{value.__module__}.{value.__qualname__}" if isinstance(value, FunctionType) else str(value)


class _Rest(Dataset):
    """Some clips of a data set."""

    def __init__(self, dataset: ClipDataset, places: Sequence[int]) -> None:
        self.dataset, self.places = dataset, places

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        return self.dataset[epoch, self.places[index]]


def _begin(parts: Path, provenance: dict[str, Any]) -> None:
    """Make the folder of the parts, or see that those in it were made in the same way."""
    note = parts / "provenance.json"
    if note.is_file() and json.loads(note.read_text(encoding="utf-8")) == provenance:
        return
    if read_appended(parts):  # a start that failed before its first caption binds nobody
        raise ValueError(f"{parts} was begun with other weights or settings; delete it, or choose another --out.")
    write_atomically(note, json.dumps(provenance))


def _merge(parts: Path, ids: Sequence[str], provenance: dict[str, Any], out: Path) -> None:
    """Write the captions in the order of the clips, and remove the parts; a clip without a caption is left out."""
    said = {clip: row["caption"] for clip, row in read_appended(parts).items()}
    rows = [{"id": clip, "caption": said[clip]} for clip in ids if said[clip].strip()]
    silent = [clip for clip in ids if not said[clip].strip()]
    if not rows:
        raise ValueError(f"No clip got a caption; look at the captioner, and delete {parts}.")
    if silent:
        log.warning("%d clips got no caption and are left out: %s.", len(silent), name_some(silent))
    write_caption_rows(out, rows, provenance=provenance)
    shutil.rmtree(parts)
    print(f"{len(rows)} of {len(ids)} clips captioned: {out}")
