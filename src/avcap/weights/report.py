"""The account of an import, and of an export: every key is used, ignored by name, or an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from avcap.weights.format import Conversion


@dataclass(frozen=True)
class ImportReport:
    """The account of a checkpoint's keys.

    Attributes:
        source: The file that was read.
        format: Name of its format.
        component: Class that the weights are for.
        sha256: Fingerprint of the source file.
        loaded: Our names that were filled.
        missing: Our names that nothing was found for.
        unexpected: Source keys that the format does not know.
        ignored: Source keys on the format's allow list (heads, front ends, other components).
    """

    source: Path
    format: str
    component: str
    sha256: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    ignored: tuple[str, ...]

    def summary(self) -> str:
        """Summarise the counts in one readable line."""
        return (
            f"{self.format} -> {self.component}: {len(self.loaded)} loaded, {len(self.missing)} missing, "
            f"{len(self.unexpected)} unexpected, {len(self.ignored)} ignored"
        )


def require_complete(conversion: Conversion, source: Path, *, format_name: str) -> None:
    """Stop unless every key is accounted for.

    Raises:
        ValueError: if a key is missing or unexpected; the message names the first few.
    """
    missing = tuple(sorted(conversion.required - set(conversion.state)))
    if missing or conversion.unexpected:
        raise ValueError(
            f"{source} is not a complete {format_name} checkpoint: {_list('missing', missing)}; "
            f"{_list('unexpected', conversion.unexpected)}; check the file, or name another --format."
        )


def require_weights(state: Mapping[str, Tensor], needed: frozenset[str], *, format_name: str) -> None:
    """Refuse an export that would lack a weight or drop one.

    Args:
        state: What is there, of the parts that the format holds.
        needed: What the format needs.
        format_name: Name of the format.

    Raises:
        ValueError: if the two differ; the message names the first few.
    """
    missing, unknown = sorted(needed - set(state)), sorted(set(state) - needed)
    if missing:
        raise ValueError(
            f"{len(missing)} weights that {format_name} needs are not in the source ({', '.join(missing[:3])}); a checkpoint "
            "leaves out frozen weights that were pretrained: export from their own file."
        )
    if unknown:
        raise ValueError(
            f"{len(unknown)} weights have no place in {format_name} ({', '.join(unknown[:3])}); merge adapters, and leave "
            "out layers that the official model lacks."
        )


def _list(word: str, names: tuple[str, ...], limit: int = 5) -> str:
    """Format a count with its names: ``2 missing (a, b)``."""
    shown = ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
    return f"{len(names)} {word}" + (f" ({shown})" if names else "")
