"""`avcap list`: the components that a config can name."""

from __future__ import annotations

import importlib
import inspect
from typing import Literal

from avcap.components import components

KINDS = {
    "system": ("avcap.systems", "System"),
    "audio_encoder": ("avcap.encoders", "AudioEncoder"),
    "visual_encoder": ("avcap.encoders", "VisualEncoder"),
    "fusion": ("avcap.fusion", "Fusion"),
    "aligner": ("avcap.losses", "Aligner"),
    "decoder": ("avcap.decoders", "Decoder"),
    "objective": ("avcap.losses", "AlignmentObjective"),
    "distance": ("avcap.losses", "TransportDistance"),
    "frontend": ("avcap.frontends", "FrontEnd"),
    "data": ("avcap.lightning_cli.parser", "LightningDataModule"),  # imports all of ours
    "transform": ("avcap.data", "Transform"),
    "corruption": ("avcap.data.corruptions", "Corruption"),
    "schedule": ("avcap.systems", "Schedule"),
}
GROUPS = {"encoder": ("audio_encoder", "visual_encoder"), "all": tuple(KINDS)}


def list_components(
    kind: Literal[
        "all",
        "system",
        "encoder",
        "audio_encoder",
        "visual_encoder",
        "fusion",
        "aligner",
        "decoder",
        "objective",
        "distance",
        "frontend",
        "data",
        "transform",
        "corruption",
        "schedule",
    ] = "all",
    /,
) -> None:
    """Print what a config can name as a component, with one line each.

    Args:
        kind: The family of components.
    """
    for name in GROUPS.get(kind, (kind,)):
        print(f"{name}:")
        for component in family(name):
            summary = (inspect.getdoc(component) or "").split("\n")[0]
            print(f"  {component.__name__:<22}{summary}")


def family(kind: str) -> list[type]:
    """Return the concrete classes of a family by name, including a user's own classes that are imported."""
    package, base = KINDS[kind]
    return components(getattr(importlib.import_module(package), base))
