"""Caption metrics. Importing this package is light: aac-metrics, Java and models are touched only when a score is asked for."""

from avcap.metrics.bounds import constant_caption, human_bound
from avcap.metrics.caption_scores import CaptionScores
from avcap.metrics.cider import cider_d
from avcap.metrics.diversity import UniqueRatio, Vocabulary
from avcap.metrics.evaluate import Scores, available, evaluate, metric_names
from avcap.metrics.map_quality import MapQuality, map_quality

__all__ = [
    "CaptionScores",
    "MapQuality",
    "Scores",
    "UniqueRatio",
    "Vocabulary",
    "available",
    "cider_d",
    "constant_caption",
    "evaluate",
    "human_bound",
    "map_quality",
    "metric_names",
]
