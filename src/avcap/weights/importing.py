"""Foreign checkpoint -> safetensors file under our names, or an error: nothing is dropped silently."""

from __future__ import annotations

from pathlib import Path

from avcap.checkpoints.reading import is_run, named, read_state
from avcap.weights.format import ImportOptions
from avcap.weights.reading import find_file, sha256
from avcap.weights.registry import find_format
from avcap.weights.report import ImportReport
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
        with named(file):
            kind = find_format(state, format_name)
        conversion = kind.convert(state, options)
        loaded = conversion.state
        report = ImportReport(
            source=file,
            format=kind.name,
            component=kind.component,
            sha256=sha256(file),
            loaded=tuple(loaded),
            missing=tuple(sorted(conversion.required - set(loaded))),
            unexpected=conversion.unexpected,
            ignored=conversion.ignored,
        )
        report.require_complete()
        about = {"format": kind.name, "component": kind.component, "source_sha256": report.sha256, **conversion.about}
        save_weights(loaded, partial, about)
    return report
