"""What happens around a run: samples, results, predictions, and a clean stop."""

from avcap.callbacks.predictions import WritePredictions
from avcap.callbacks.results import WriteResults
from avcap.callbacks.samples import LogSamples
from avcap.callbacks.stop import SaveOnStop

__all__ = ["LogSamples", "SaveOnStop", "WritePredictions", "WriteResults"]
