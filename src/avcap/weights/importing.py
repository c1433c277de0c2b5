"""Foreign checkpoint -> safetensors file under our names, or an error: nothing is dropped silently."""

from __future__ import annotations

import json
import os
from pathlib import Path

from avcap.layers.loading import METADATA
from avcap.weights.format import ImportOptions
from avcap.weights.reading import find_file, read_state, sha256
from avcap.weights.registry import find_format
from avcap.weights.report import ImportReport


def import_checkpoint(
    source: Path, out: Path, *, format_name: str = "auto", options: ImportOptions | None = None
) -> ImportReport:
    """Convert ``source`` and write ``out``; the same source gives the same bytes.

    The metadata of the file hold the format, the component, the sizes, and the sha256 of the source, as JSON under one key
    (the order of several keys would differ from run to run).

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
    from safetensors.torch import save_file

    options = options or ImportOptions()
    file = find_file(Path(source))
    out = Path(out)
    if out.exists() and out.samefile(file):
        raise ValueError(f"the output {out} is the source itself; name another file.")
    state = read_state(file)
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
    metadata = {"format": kind.name, "component": kind.component, "source_sha256": report.sha256, **conversion.about}
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        save_file(
            {name: tensor.contiguous() for name, tensor in loaded.items()},
            partial,
            metadata={METADATA: json.dumps(metadata)},
        )
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return report
