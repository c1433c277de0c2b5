"""Training objectives over tokens and over captions; the prefix of a file names the system.

===============================  ==============================================================================
LAVCap (ICASSP 2025)             docs/lavcap.md
``lavcap_plan_contrast``         ``PlanContrast``, LAVCap's optimal-transport loss: tokens against their own plan
===============================  ==============================================================================

===============================  ==============================================================================
Beside it, for any fusion        an ``Aligner`` compares the inputs of :class:`avcap.fusion.AlignedFusion`
``token_plan``                   ``TokenPlan``, the plan without a loss
``clip_contrast``                ``ClipContrast``, clips against each other by their transport (not in LAVCap)
``objective_aligner``            ``ObjectiveAligner``, an objective of DALI's in a captioner
===============================  ==============================================================================

===============================  ==============================================================================
AVCap (Interspeech 2024)         docs/avcap.md
``avcap_caption_loss``           ``smoothed_divergence``, the label-smoothed loss of the words (also GIT's)
===============================  ==============================================================================

===============================  ==============================================================================
DALI (NeurIPS 2024)              docs/dali.md, "Objectives"; all are an ``AlignmentObjective`` (``dali_objective``)
``dali_ot``                      ``OTAlignment``, transport with equal masses
``dali_attentive_ot``            ``AttentiveOTAlignment``, with masses by the scorers of ``dali_token_scorer``
``dali_mmd``                     ``MMDAlignment``, maximum mean discrepancy
``dali_contrastive``             ``ContrastiveAlignment``, the baseline: InfoNCE on mean tokens
``dali_transport_distance``      ``TransportDistance``: exact (the official code), entropic, or debiased
===============================  ==============================================================================

What is solved in them (plans, costs, discrepancies) is in :mod:`avcap.transport`.
"""

from avcap.losses.aligner import Aligner, AlignerOutput
from avcap.losses.avcap_caption_loss import smoothed_divergence
from avcap.losses.clip_contrast import ClipContrast
from avcap.losses.dali_attentive_ot import AttentiveOTAlignment
from avcap.losses.dali_contrastive import ContrastiveAlignment
from avcap.losses.dali_mmd import MMDAlignment
from avcap.losses.dali_objective import AlignmentObjective, AlignmentOutput, check_finite
from avcap.losses.dali_ot import OTAlignment
from avcap.losses.dali_transport_distance import DebiasedTransport, ExactTransport, SinkhornTransport, TransportDistance
from avcap.losses.lavcap_plan_contrast import PlanContrast
from avcap.losses.objective_aligner import ObjectiveAligner
from avcap.losses.token_plan import TokenPlan
