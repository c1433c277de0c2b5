"""Training objectives over tokens and over captions."""

from avcap.losses.aligner import Aligner, AlignerOutput
from avcap.losses.alignment import AlignmentObjective, AlignmentOutput, check_finite
from avcap.losses.captioning import smoothed_divergence
from avcap.losses.clip_contrast import ClipContrast
from avcap.losses.dali_attentive_ot import AttentiveOTAlignment
from avcap.losses.dali_contrastive import ContrastiveAlignment
from avcap.losses.dali_mmd import MMDAlignment
from avcap.losses.dali_ot import OTAlignment
from avcap.losses.divergence import SinkhornDivergence, sinkhorn_divergence
from avcap.losses.lavcap_plan_contrast import PlanContrast
from avcap.losses.token_plan import TokenPlan
from avcap.losses.transport_distance import (
    DebiasedTransport,
    ExactTransport,
    SinkhornTransport,
    TransportDistance,
)

__all__ = [
    "Aligner",
    "AlignerOutput",
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
    "SinkhornDivergence",
    "SinkhornTransport",
    "TokenPlan",
    "TransportDistance",
    "check_finite",
    "sinkhorn_divergence",
    "smoothed_divergence",
]
