"""Caption metrics. Importing this package is light: torchmetrics, aac-metrics, Java and models wait until they are used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from avcap.metrics.evaluate import Scores, available, comparing, default_metrics, evaluate, metric_names

if TYPE_CHECKING:
    from avcap.metrics.bounds import ConstantCaption, constant_caption, human_bound
    from avcap.metrics.caption_scores import CaptionScores
    from avcap.metrics.cider import cider_d
    from avcap.metrics.diversity import UniqueRatio, Vocabulary
    from avcap.metrics.map_quality import MapQuality, mass_on_pairs, pair_truth
    from avcap.metrics.nbest import evaluate_nbest
    from avcap.metrics.token_distance import TokenDistance, TokenMeans

_HOMES = {
    "CaptionScores": "caption_scores",
    "ConstantCaption": "bounds",
    "MapQuality": "map_quality",
    "TokenDistance": "token_distance",
    "TokenMeans": "token_distance",
    "UniqueRatio": "diversity",
    "Vocabulary": "diversity",
    "cider_d": "cider",
    "constant_caption": "bounds",
    "evaluate_nbest": "nbest",
    "human_bound": "bounds",
    "mass_on_pairs": "map_quality",
    "pair_truth": "map_quality",
}

__all__ = [
    "CaptionScores",
    "ConstantCaption",
    "MapQuality",
    "Scores",
    "TokenDistance",
    "TokenMeans",
    "UniqueRatio",
    "Vocabulary",
    "available",
    "cider_d",
    "comparing",
    "constant_caption",
    "default_metrics",
    "evaluate",
    "evaluate_nbest",
    "human_bound",
    "mass_on_pairs",
    "metric_names",
    "pair_truth",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
