"""Published checkpoints under our names: one file per model, pure functions from state dict to state dict."""

from avcap.weights.exporting import export_checkpoint
from avcap.weights.format import CheckpointFormat, Conversion, ImportOptions
from avcap.weights.importing import import_checkpoint
from avcap.weights.part import PartReport, write_part
from avcap.weights.registry import FORMATS, find_format
from avcap.weights.report import ImportReport

__all__ = [
    "FORMATS",
    "CheckpointFormat",
    "Conversion",
    "ImportOptions",
    "ImportReport",
    "PartReport",
    "export_checkpoint",
    "find_format",
    "import_checkpoint",
    "write_part",
]
