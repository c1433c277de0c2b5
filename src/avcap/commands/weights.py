"""``avcap weights``: published checkpoints, and components of trained ones."""

from __future__ import annotations

from pathlib import Path


def import_(
    source: Path,
    out: Path,
    *,
    format: str = "auto",  # noqa: A002
    target_length: int = 1024,
    projection: bool = False,
) -> None:
    """Convert a published checkpoint to a safetensors file that `pretrained:` of a component can name.

    Args:
        source: The checkpoint file, or a Hugging Face folder on this disk.
        out: The safetensors file to write.
        format: What the checkpoint is, as `avcap weights formats` lists it; auto recognises it by its keys.
        target_length: Frames of the longest spectrogram (10 ms each); time positions are fitted to it.
        projection: Take GIT's visual projection as the decoder's; the official AVCap code starts that at random.
    """
    from avcap.weights import ImportOptions, import_checkpoint

    options = ImportOptions(target_length=target_length, projection=projection)
    report = import_checkpoint(source, out, format_name=format, options=options)
    print(report.summary())
    print(f"sha256 of the source: {report.sha256}")
    print(f"wrote {out}")


def export(source: Path, out: Path, *, format: str) -> None:  # noqa: A002
    """Write weights under the names of an official checkpoint, so that the official code can load them.

    Args:
        source: A file made by `avcap weights import`, or a checkpoint of a captioner.
        out: The file to write: .safetensors, or a torch file with any other ending.
        format: What to write, as `avcap weights formats` lists it.
    """
    from avcap.weights import export_checkpoint

    names = export_checkpoint(source, out, format_name=format)
    print(f"wrote {len(names)} tensors to {out}")


def part(checkpoint: Path, part: str, out: Path) -> None:
    """Take one component out of a run's checkpoint, as a file that `pretrained:` of such a component can name.

    Args:
        checkpoint: A checkpoint of `avcap fit`.
        part: The component, or a module in one: audio_encoder, fusion, decoder.prefix, ...
        out: The .safetensors file to write.
    """
    from avcap.weights import write_part

    report = write_part(checkpoint, part, out)
    print(f"{report.part} ({report.component}): {len(report.names)} tensors, {report.values:,} values")
    print(f"sha256 of the source: {report.sha256}")
    print(f"wrote {out}")


def formats() -> None:
    """List the checkpoint formats that can be imported."""
    from avcap.weights import FORMATS

    for kind in FORMATS.values():
        print(f"{kind.name:16} {kind.component:22} {kind.summary}")
