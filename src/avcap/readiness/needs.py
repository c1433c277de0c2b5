"""What a run needs, looked at in order: model, data, run folder, devices, metrics."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from avcap.checkpoints.state import reloadable
from avcap.data import AudioCapsDataModule
from avcap.foreign import in_words
from avcap.ids import id_hash
from avcap.machine import Finding
from avcap.metrics.evaluate import available
from avcap.readiness.weights import named_needs, tokenizer_need, weights_needs
from avcap.shards.derived import INDEX
from avcap.shards.reader import DERIVED
from avcap.systems import Captioner, System

COPIES = 3  # checkpoints on the disk at a time: best, last, and the one that is being written
MOMENTS = 8  # bytes of Adam a trained value
GIB = 2**30


def run_needs(model: System | None, data: object, config: Any) -> Iterator[Finding]:
    """Yield what was found of everything that training and testing a config needs, but the memory of the device.

    Args:
        model: Built under ``torch.device("meta")``; None where it could not be built.
        data: The data module.
        config: The whole config, with the ``stages`` of the check: fit, test, or both.
    """
    trainer, settings = config.trainer, config.model.as_dict()
    captioner = isinstance(model, Captioner) if model is not None else settings["class_path"].endswith("Captioner")
    tested = captioner and "test" in config.stages
    if model is None:
        yield from named_needs(settings)
    else:
        for name in model.parts:
            if (part := getattr(model, name)) is not None:
                yield from weights_needs(name, part)
        if isinstance(model, Captioner):
            yield from tokenizer_need(model.decoder)
    if isinstance(data, AudioCapsDataModule):
        yield from _data_needs(model, data, fitted="fit" in config.stages, tested=tested)
    root = Path(trainer.get("default_root_dir") or "runs/run")
    yield _folder_need(root)
    if model is not None:
        yield _disk_need(model, root)
    yield from _device_needs(trainer)
    if tested:
        for metric, reason in available().items():
            yield Finding("metrics", metric, "left out" if reason else "available", reason or "", minor=True)


def memory_need(total: int, trainer: Any) -> Finding:
    """Compare an estimate of memory, in bytes, with what the device of the run has."""
    if trainer.get("accelerator") in ("cpu", "mps") or not torch.cuda.is_available():
        import psutil

        there, device = psutil.virtual_memory().available, "this machine has free"
    else:
        there, device = torch.cuda.get_device_properties(0).total_memory, torch.cuda.get_device_name(0)
    value = f"about {total / GIB:.1f} GiB ({device}: {there / GIB:.1f} GiB)"
    problem = "take smaller batches (--data.init_args.batch_size), or a larger device" if total > there else ""
    return Finding("device", "memory", value, problem)


def _data_needs(model: System | None, data: AudioCapsDataModule, *, fitted: bool, tested: bool) -> Iterator[Finding]:
    """Look at the splits of training, validation and test: files, streams, captions."""
    trains = fitted and (model is None or any(parameter.requires_grad for parameter in model.parameters()))
    stages = [*(["fit"] if trains else []), *(["test"] if tested else [])]
    if model is not None:
        data.serve(model.inputs)
    for stage in stages:
        for split in data.splits(stage):
            try:
                info = data.info(split)
                folder = data.shards / info.split  # a validation may be of train's clips, or of the test's
                ids = info.ids
                problem = _incomplete(folder, info.files)
                if model is not None and not problem:
                    ids = data.dataset(split, training=stage == "fit" and split == "train").ids
                    data.require(model.inputs, stage)
                value = f"{len(ids):,} clips ({id_hash(ids)})"
                columns = sorted(path.parent.name for path in (folder / DERIVED).glob(f"*/{INDEX}"))
                value += f", derived: {', '.join(columns)}" if columns else ""
            except (OSError, ValueError) as error:
                value, problem = "not ready", in_words(error)
            yield Finding("data", split, value, problem)
    if "fit" in stages and not any(split != "train" for split in data.splits("fit")):
        yield Finding("data", "val", "none: no score chooses the best checkpoint")


def _incomplete(folder: Path, files: dict[str, Any]) -> str:
    """Return which file of a split is gone or has another length than info.json says; a store fetches its files later."""
    for name, facts in files.items() if folder.is_dir() else ():
        path = folder / name
        size = path.stat().st_size if path.is_file() else None
        if size != facts["bytes"]:
            what = "is missing" if size is None else f"has {size:,} bytes in place of {facts['bytes']:,}"
            return f"{path} {what}; make the split again with `avcap data prepare --overwrite`."
    return ""


def _existing(path: Path) -> Path:
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())


def _folder_need(root: Path) -> Finding:
    there = _existing(root)
    fine = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    problem = "" if fine else f"{there} cannot be written to; set --trainer.default_root_dir to another folder."
    return Finding("folder", "run", str(root), problem)


def _disk_need(model: System, root: Path) -> Finding:
    """Compare the size of the checkpoints with the free space."""
    left_out = reloadable(model.network, model.parts)
    state = model.network.state_dict()
    kept = sum(tensor.numel() * tensor.element_size() for name, tensor in state.items() if name not in left_out)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    needed = COPIES * (kept + MOMENTS * trained) if trained else 0
    free = shutil.disk_usage(_existing(root)).free
    value = f"{needed / GIB:.2f} GiB for {COPIES} checkpoints, {free / GIB:.1f} GiB free"
    problem = "free some space, or set --trainer.default_root_dir to another disk" if needed > free else ""
    return Finding("disk", "checkpoints", value, problem)


def _device_needs(trainer: Any) -> Iterator[Finding]:
    """Compare the devices that the config asks for with those that are there."""
    wanted, count = trainer.get("devices"), torch.cuda.device_count() if torch.cuda.is_available() else 0
    if trainer.get("accelerator") in ("gpu", "cuda") and not count:
        yield Finding("device", "cuda", "none", "take --trainer.accelerator cpu, or a machine with a GPU")
    elif isinstance(wanted, int) and trainer.get("accelerator") != "cpu" and count and wanted > count:
        yield Finding("device", "cuda", f"{count} of {wanted}", f"set --trainer.devices {count}")
