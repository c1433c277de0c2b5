"""Callbacks: checkpoints and a clean stop, samples, results, predictions."""

from avcap.callbacks.checkpoint_files import WholeCheckpoints
from avcap.callbacks.keep_captions import KeepCaptions
from avcap.callbacks.map_quality import MeasureMaps
from avcap.callbacks.model_size import SummariseModel
from avcap.callbacks.predictions import WritePredictions
from avcap.callbacks.recompute import RecomputeBlocks
from avcap.callbacks.results import WriteResults
from avcap.callbacks.samples import LogSamples
from avcap.callbacks.save_best import SaveBest
from avcap.callbacks.save_last import SaveLast
from avcap.callbacks.seed_steps import SeedSteps
from avcap.callbacks.speed import MeasureSpeed
from avcap.callbacks.stop import StopTogether
from avcap.callbacks.token_figure import TokenFigure

__all__ = [
    "KeepCaptions",
    "LogSamples",
    "MeasureMaps",
    "MeasureSpeed",
    "RecomputeBlocks",
    "SaveBest",
    "SaveLast",
    "SeedSteps",
    "StopTogether",
    "SummariseModel",
    "TokenFigure",
    "WholeCheckpoints",
    "WritePredictions",
    "WriteResults",
]
