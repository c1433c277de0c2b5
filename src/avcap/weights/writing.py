"""Weights files that appear only when they are complete."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from avcap.atomic import replacing
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
    with replacing(out) as partial:
        partial.touch()
        mode = partial.stat().st_mode  # as the umask says; safetensors makes files that only their owner can read
        yield partial
        partial.chmod(mode)


def save_weights(state: Mapping[str, Tensor], path: Path, about: Mapping[str, str]) -> None:
    """Write tensors, which may share memory, and our metadata; the same content gives the same bytes.

    The metadata are JSON under one key, since the order of several keys would differ from run to run.

    Args:
        state: Name -> tensor.
        path: Safetensors file to write.
        about: The metadata.
    """
    from safetensors.torch import save_file

    tensors, seen = {}, set()
    for name, tensor in state.items():
        storage = tensor.untyped_storage()
        alone = tensor.is_contiguous() and tensor.nbytes == storage.nbytes() and storage.data_ptr() not in seen
        seen.add(storage.data_ptr())
        tensors[name] = tensor.detach() if alone else tensor.detach().clone(memory_format=torch.contiguous_format)
    save_file(tensors, path, metadata={METADATA: json.dumps(dict(about))})
