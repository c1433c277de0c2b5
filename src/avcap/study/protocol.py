"""The protocol of a tested run: which clips, which split, how captions were decoded, and what chose the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avcap.mappings import read_yaml
from avcap.metrics.results import read_results

ON_TEST = "selected on test"
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Protocol:
    """What two scores must share to be compared.

    Attributes:
        clips: Clips that were tested.
        id_hash: Which they are, see :func:`avcap.ids.id_hash`.
        split: The split that they belong to; None in results of earlier versions.
        ids: The list that chose them from the split; None for all.
        decoding: Decoding settings.
        seed: ``seed_everything`` of the training; of the test, where the training is not known.
        selection: What chose the checkpoint: ``by`` (a score, or ``last``), ``split``, ``clips``, ``id_hash``, ``step``,
            ``on_test``; None where no checkpoint of a run was tested (released weights), or results are of earlier versions.
    """

    clips: int
    id_hash: str
    split: str | None = None
    ids: str | None = None
    decoding: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    selection: Mapping[str, Any] | None = None
    checkpoint: str = ""

    @property
    def on_test(self) -> bool:
        """Whether clips of the test chose the checkpoint."""
        return bool(self.selection and self.selection.get("on_test"))

    @property
    def selected(self) -> str:
        """What chose the checkpoint, in a few words."""
        if self.selection is None:
            return _UNKNOWN if self.checkpoint or self.split is None else "no run's checkpoint"
        if self.selection.get("by") == "last":
            return "last state"
        chosen = str(self.selection.get("by"))
        if "split" in self.selection:
            chosen += f" on {self.selection['split']} ({self.selection.get('clips')} clips)"
        return f"{chosen}, {ON_TEST}" if self.on_test else chosen

    def row(self) -> dict[str, str]:
        """Return the cells of a table, by their heads."""
        return {
            "split": self.split or _UNKNOWN,
            "clips": str(self.clips),
            "clip ids": self.id_hash,
            "decoding": ", ".join(f"{name} {value}" for name, value in self.decoding.items()),
            "seed": _UNKNOWN if self.seed is None else str(self.seed),
            "selection": self.selected,
        }


def read_protocol(run: Path) -> Protocol:
    """Read the protocol of a run.

    Args:
        run: Its folder, with ``results.json`` and perhaps ``config.yaml``.

    Raises:
        FileNotFoundError: if it has no results.
        ValueError: if a file is damaged.
    """
    config = run / "config.yaml"
    return protocol_of(read_results(run / "results.json"), read_yaml(config) if config.is_file() else {})


def marked(name: str, *protocols: Protocol) -> str:
    """Return the name of a system for a table, with a mark where clips of the test have chosen one of its checkpoints."""
    return f"{name} ({ON_TEST})" if any(protocol.on_test for protocol in protocols) else name


def protocol_of(results: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> Protocol:
    """Return the protocol that ``results.json`` and ``config.yaml`` tell."""
    settings = results.get("settings", {})
    seeds = ((config or {}).get("seed_everything"), settings.get("seed"))
    return Protocol(
        clips=results["clips"],
        id_hash=results["id_hash"],
        split=settings.get("split"),
        ids=settings.get("ids"),
        decoding=settings.get("generation") or {},
        seed=next((seed for seed in seeds if type(seed) is int), None),  # `true` is a seed that Lightning draws
        selection=settings.get("selection"),
        checkpoint=settings.get("checkpoint") or "",
    )
