"""Foreign checkpoint -> safetensors file under our names, or an error: nothing is dropped silently."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from avcap.checkpoints.loading import PART
from avcap.checkpoints.reading import is_run, read_state
from avcap.named import named
from avcap.weights.format import CheckpointFormat, Conversion, ImportOptions
from avcap.weights.reading import find_file, sha256
from avcap.weights.registry import find_format
from avcap.weights.report import ImportReport, require_complete
from avcap.weights.writing import complete_file, save_weights


def import_checkpoint(
    source: Path, out: Path, *, format_name: str = "auto", options: ImportOptions | None = None
) -> ImportReport:
    """Convert ``source`` and write ``out``; the same source gives the same bytes.

    The metadata of the file hold the format, the component, the sizes, and the sha256 of the source.

    Args:
        source: Checkpoint file, or Hugging Face folder.
        out: Safetensors file to write; it appears only when it is complete.
        format_name: Name of the format; ``auto`` recognises it by the keys.
        options: What the format may be asked for.

    Returns:
        The account of all keys.

    Raises:
        FileNotFoundError: if the source is not there.
        ValueError: if it cannot be read, is of no known format, or a key is missing or unexpected.
    """
    options = options or ImportOptions()
    file = find_file(Path(source))
    out = Path(out)
    with complete_file(out, file) as partial:
        state = read_state(file)
        if format_name == "auto" and is_run(file):
            raise ValueError(
                f"{file} is a checkpoint of a run; take a part out of it: `avcap weights part {file} audio_encoder {out}`."
            )
        kind, conversion = convert_state(state, file, format_name=format_name, options=options)
        report = ImportReport(
            source=file,
            format=kind.name,
            component=kind.component,
            sha256=sha256(file),
            loaded=tuple(conversion.state),
            missing=(),
            unexpected=conversion.unexpected,
            ignored=conversion.ignored,
        )
        about = {"format": kind.name, "component": kind.component, "source_sha256": report.sha256, **conversion.about}
        if kind.part is not None:
            about[PART] = kind.part
        save_weights(conversion.state, partial, about)
    return report


def convert_state(
    state: Mapping[str, Tensor], file: Path, *, format_name: str = "auto", options: ImportOptions
) -> tuple[CheckpointFormat, Conversion]:
    """Convert a published state dict to our names, which begin with their parts unless the format is of one component.

    Args:
        state: Official name -> tensor.
        file: Where it was read, for messages.
        format_name: Name of the format; ``auto`` recognises it by the keys.
        options: What the format may be asked for.

    Raises:
        ValueError: if the format is not known, or a key is missing or unexpected; the message names the file.
    """
    with named(file):
        kind = find_format(state, format_name)
        conversion = kind.convert(state, options)
        require_complete(conversion, file, format_name=kind.name)
    return kind, conversion
