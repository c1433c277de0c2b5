"""One component out of a run's checkpoint, in a file of its own that the component's ``pretrained`` reads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from avcap.checkpoints.loading import LEFT_OUT, PART
from avcap.checkpoints.reading import SETTINGS, STATE, read_checkpoint
from avcap.weights.exporting import SAFETENSORS, part_name
from avcap.weights.reading import sha256
from avcap.weights.writing import complete_file, save_weights

FORMAT = "avcap_part"
ADAPTED = ".base_layer."  # peft moves an adapted weight below this name


@dataclass(frozen=True)
class PartReport:
    """The written file.

    Attributes:
        part: Path of the component in the system.
        component: Its class; the path again where the checkpoint does not name one.
        names: Names of its tensors.
        values: Numbers in them.
        sha256: Fingerprint of the checkpoint.
    """

    part: str
    component: str
    names: tuple[str, ...]
    values: int
    sha256: str


def write_part(
    checkpoint: Path, part: str, out: Path, *, edit: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] | None = None
) -> PartReport:
    """Write the weights of one component under its own names; adapters go beside the plain weights.

    The metadata say which part of a system it is, and its class where the checkpoint knows it (checkpoints of
    ``avcap fit`` hold the config). Nothing but tensors and plain containers of the checkpoint is unpickled.

    Args:
        checkpoint: A Lightning checkpoint.
        part: Path of a component (``audio_encoder``), or of a module in one (``decoder.prefix``).
        out: Safetensors file to write; it appears only when it is complete.
        edit: What becomes of the weights on the way, under the same names; None: nothing.

    Returns:
        What was written.

    Raises:
        FileNotFoundError: if there is no such checkpoint.
        ValueError: if it cannot be read, has no such part, or leaves out frozen weights of the part.
    """
    checkpoint, out = Path(checkpoint), Path(out)
    if out.suffix != SAFETENSORS:
        raise ValueError(f"the output {out} is no {SAFETENSORS} file; name one.")
    with complete_file(out, checkpoint) as partial:
        content = read_checkpoint(checkpoint)
        config = content[SETTINGS]
        _require_all(part, content.get(LEFT_OUT, ()), config, checkpoint)
        state = _below(part, content[STATE], checkpoint)
        state = state if edit is None else edit(state)
        report = PartReport(
            part=part,
            component=_component(part, config),
            names=tuple(state),
            values=sum(tensor.numel() for tensor in state.values()),
            sha256=sha256(checkpoint),
        )
        about = {
            "format": FORMAT,
            "component": report.component,
            PART: part_name(f"{part}.").removesuffix("."),
            "source_sha256": report.sha256,
        }
        save_weights(state, partial, about)
    return report


def _below(part: str, state: Mapping[str, Tensor], checkpoint: Path) -> dict[str, Tensor]:
    """Return the tensors of a module under its own names, as if no layer had an adapter."""
    begin = f"{part}."
    mine = {name.removeprefix(begin).replace(ADAPTED, "."): x for name, x in state.items() if name.startswith(begin)}
    if not mine:
        raise ValueError(f"{checkpoint} has no weights of {part}; choose among {', '.join(_choices(part, state))}.")
    return mine


def _choices(part: str, state: Iterable[str]) -> list[str]:
    """Return the parts of the system, or the modules of the first part if the names start there."""
    modules = [name.split(".")[:-1] for name in state]
    first = part.partition(".")[0]
    inside = sorted({".".join(path[:2]) for path in modules if path[:1] == [first] and len(path) > 1})
    return inside or sorted({path[0] for path in modules if path})


def _require_all(part: str, left_out: Collection[str], config: Mapping[str, Any], checkpoint: Path) -> None:
    """Refuse a part whose frozen weights are elsewhere."""
    absent = [name for name in left_out if name.startswith(f"{part}.")]
    if not absent:
        return
    arguments = _settings("init_args", _settings(part.partition(".")[0], config))
    source = arguments.get("pretrained") or arguments.get("model") or "its pretrained file"
    raise ValueError(
        f"{checkpoint} leaves out {len(absent)} frozen weights of {part} ({', '.join(absent[:3])}), which the run read from "
        f"{source}; name a module that was trained."
    )


def _component(part: str, config: Mapping[str, Any]) -> str:
    """Return the class of a component from the checkpoint's config; for a module inside one, return its path."""
    return str(_settings(part, config).get("class_path", "")).rpartition(".")[2] or part


def _settings(part: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    settings = config.get(part)
    return settings if isinstance(settings, Mapping) else {}
