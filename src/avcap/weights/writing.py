"""Weights files that appear only when they are complete."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from avcap.checkpoints.loading import METADATA


@contextmanager
def complete_file(out: Path, source: Path) -> Iterator[Path]:
    """Yield a path to write to, and rename it to ``out`` if the block succeeds.

    Args:
        out: The file to make; folders above it are made too.
        source: What it is made from, which must not be overwritten.

    Raises:
        ValueError: if both are one file.
    """
    if out.exists() and out.samefile(source):
        raise ValueError(f"the output {out} is the source itself; name another file.")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def save_weights(state: Mapping[str, Tensor], path: Path, about: Mapping[str, str]) -> None:
    """Write tensors, which may share memory, and our metadata; the same content gives the same bytes.

    The metadata are JSON under one key, since the order of several keys would differ from run to run.

    Args:
        state: Name -> tensor.
        path: Safetensors file to write.
        about: The metadata.
    """
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    save_file(tensors, path, metadata={METADATA: json.dumps(dict(about))})
