"""Weights of ours -> checkpoint under the names of the official code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from avcap.checkpoints.loading import is_component, parts_of
from avcap.checkpoints.reading import read_state
from avcap.weights.reading import find_file
from avcap.weights.registry import find_format
from avcap.weights.writing import complete_file, save_weights

SAFETENSORS = ".safetensors"
PARTS = {  # prefix in the checkpoint of a captioner -> prefix in a weights file
    "audio_encoder.": "audio.",
    "visual_encoder.": "visual.",
    "fusion.joint.": "joint.",
    "fusion.": "fusion.",
    "decoder.": "decoder.",
    "objective.audio_scorer.": "scorers.audio_scorer.",
    "objective.image_scorer.": "scorers.image_scorer.",
}


def export_checkpoint(source: Path, out: Path, *, format_name: str) -> tuple[str, ...]:
    """Write the weights of ``source`` under the names of a foreign format.

    Args:
        source: A file made by ``avcap weights import``, or a checkpoint of a captioner.
        out: File to write, ``.safetensors`` or anything else for a torch file; it appears only when it is complete.
        format_name: Name of the format.

    Returns:
        The names that were written.

    Raises:
        FileNotFoundError: if the source is not there.
        ValueError: if it cannot be read, or the format cannot hold it.
    """
    source, out = find_file(Path(source)), Path(out)
    if format_name == "auto":
        raise ValueError(
            "--format auto says nothing about what to write; name a format that `avcap weights formats` lists."
        )
    kind = find_format((), format_name)
    with complete_file(out, source) as partial:
        mine = _with_part(read_state(source), source)
        state = kind.export({part_name(name): tensor for name, tensor in mine.items()})
        if out.suffix == SAFETENSORS:
            save_weights(state, partial, {})
        else:
            state = {
                name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()
            }
            torch.save(state if kind.wrapper is None else {kind.wrapper: state}, partial)
    return tuple(state)


def part_name(name: str) -> str:
    """Convert a name in a captioner's checkpoint to its name in a weights file of several parts."""
    for own, part in PARTS.items():
        if name.startswith(own):
            return part + name.removeprefix(own)
    return name


def _with_part(state: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Prefix the names of a one-component file with the part that its metadata names."""
    if not is_component(source):
        return dict(state)
    (part,) = parts_of(source)
    return {f"{part}.{name}": tensor for name, tensor in state.items()}
