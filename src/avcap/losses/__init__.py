"""Training objectives over tokens and over captions."""

from avcap.losses.alignment import AlignmentObjective, AlignmentOutput, check_finite
from avcap.losses.captioning import smoothed_divergence
from avcap.losses.divergence import SinkhornDivergence, sinkhorn_divergence
from avcap.losses.plan_contrast import PlanContrast, PlanContrastOutput

__all__ = [
    "AlignmentObjective",
    "AlignmentOutput",
    "PlanContrast",
    "PlanContrastOutput",
    "SinkhornDivergence",
    "check_finite",
    "sinkhorn_divergence",
    "smoothed_divergence",
]
