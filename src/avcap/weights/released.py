"""The weights of a released captioner, read as if a run had saved them: state under the names of the model."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from avcap.checkpoints.loading import PART, metadata_of, with_adapter
from avcap.checkpoints.reading import STATE, is_run, read_checkpoint, read_state
from avcap.named import named
from avcap.weights.exporting import PARTS
from avcap.weights.format import ImportOptions
from avcap.weights.importing import convert_state
from avcap.weights.lavcap import UNUSED
from avcap.weights.reading import find_file
from avcap.weights.registry import FORMATS

log = logging.getLogger(__name__)


def read_released(
    files: Sequence[str | Path], own: Mapping[str, Tensor], *, target_length: int | None = None
) -> dict[str, Tensor]:
    """Read a captioner's weights from the files that hold them together.

    Args:
        files: Published checkpoints, files of ``avcap weights import`` or ``avcap weights part``, or checkpoints of a run.
        own: The state of the model, which may be empty (on the meta device): names and number formats. Parts that it does not
            have (the scorers of an alignment, the visual half of a model for sound) are left out.
        target_length: Frames of the model's longest spectrogram; None: 1024.

    Returns:
        State under the names of the model. Names that it lacks, and wrong shapes, are left to the check of the model.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: if one cannot be read, is of no known format, or two hold the same weight.
    """
    options = ImportOptions() if target_length is None else ImportOptions(target_length=target_length)
    state: dict[str, Tensor] = {}
    for given in files:
        file = find_file(Path(given))
        with named(file):
            found = _of_model(_by_part(file, options), own)
            if twice := state.keys() & found.keys():
                raise ValueError(f"{min(twice)} is in another file of weights too; name one of them.")
        state |= {name: tensor.to(own[name].dtype) if name in own else tensor for name, tensor in found.items()}
        log.info("%d tensors from %s", len(found), file)
    return state


def _by_part(file: Path, options: ImportOptions) -> Mapping[str, Tensor]:
    """Return the tensors of a file, each name beginning with its part, or with that of a run's model."""
    if is_run(file):
        return read_checkpoint(file)[STATE]
    state = read_state(file)
    about = metadata_of(file)
    if about is not None:
        part = about.get(PART) or getattr(FORMATS.get(about.get("format", "")), "part", None)
    else:
        kind, conversion = convert_state(state, file, options=options)
        state, part = conversion.state, kind.part
    return state if part is None else {f"{part}.{name}": tensor for name, tensor in state.items()}


def _of_model(state: Mapping[str, Tensor], own: Collection[str]) -> dict[str, Tensor]:
    """Return tensors under the names of the model, without those of parts that it does not have."""
    roots = {name.partition(".")[0] for name in own}
    found, aside = {}, set()
    for name, tensor in state.items():
        mine = _model_name(name, own)
        if mine.partition(".")[0] in roots:
            found[with_adapter(mine, own)] = tensor
        elif not name.startswith(UNUSED):
            aside.add(name.partition(".")[0])
    if aside:
        log.info("The model has no part for %s; they are left out.", ", ".join(sorted(aside)))
    return found


def _model_name(name: str, own: Collection[str]) -> str:
    """Return the name in a model of a weight in a file of several parts."""
    for mine, part in PARTS.items():
        if name.startswith(part):
            direct = mine + name.removeprefix(part)
            inner = direct.replace("fusion.", "fusion.merge.", 1)  # the merge of a fusion that is aligned
            return inner if direct not in own and inner in own else direct
    return name
