"""Callbacks: samples, results, predictions, and a clean stop."""

from avcap.callbacks.map_quality import MeasureMaps
from avcap.callbacks.predictions import WritePredictions
from avcap.callbacks.results import WriteResults
from avcap.callbacks.samples import LogSamples
from avcap.callbacks.speed import MeasureSpeed
from avcap.callbacks.stop import SaveOnStop
from avcap.callbacks.token_figure import TokenFigure

__all__ = ["LogSamples", "MeasureMaps", "MeasureSpeed", "SaveOnStop", "TokenFigure", "WritePredictions", "WriteResults"]
