"""Training objectives over tokens and over captions."""

from avcap.losses.alignment import AlignmentObjective, AlignmentOutput, check_finite
from avcap.losses.attentive import AttentiveOTAlignment
from avcap.losses.captioning import smoothed_divergence
from avcap.losses.clip_contrast import ClipContrast
from avcap.losses.contrastive import ContrastiveAlignment
from avcap.losses.divergence import SinkhornDivergence, sinkhorn_divergence
from avcap.losses.mmd_alignment import MMDAlignment
from avcap.losses.ot_alignment import OTAlignment
from avcap.losses.plan_contrast import PlanContrast, PlanContrastOutput
from avcap.losses.transport_distance import (
    DebiasedTransport,
    ExactTransport,
    SinkhornTransport,
    TransportDistance,
)

__all__ = [
    "AlignmentObjective",
    "AlignmentOutput",
    "AttentiveOTAlignment",
    "ClipContrast",
    "ContrastiveAlignment",
    "DebiasedTransport",
    "ExactTransport",
    "MMDAlignment",
    "OTAlignment",
    "PlanContrast",
    "PlanContrastOutput",
    "SinkhornDivergence",
    "SinkhornTransport",
    "TransportDistance",
    "check_finite",
    "sinkhorn_divergence",
    "smoothed_divergence",
]
