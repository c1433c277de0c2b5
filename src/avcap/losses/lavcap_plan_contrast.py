"""LAVCap's optimal transport loss."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from avcap.layers.masking import masked_mean
from avcap.losses.aligner import AlignerOutput
from avcap.losses.token_plan import TokenPlan
from avcap.transport import GradientPolicy, as_full_precision, full_precision
from avcap.types import Tokens

MAX_LOGIT_SCALE = math.log(100)


class PlanContrast(TokenPlan):
    """Cross-entropy that makes the tokens agree with their own transport plan (LAVCap, ICASSP 2025; official code).

    With cosine similarities ``S`` ``[Nv, Na]`` and the entropic plan ``Q`` that maximises ``<Q, S>``, the logits of the visual
    side are ``scale * Q S'`` ``[Nv, Nv]``: row i of the plan against the similarities of visual token j. A cross-entropy over
    i with target j makes the similarities of a token fit its own row of the plan better than any other row. The audio side
    is the same with both transposed. Padded tokens are neither classes, nor targets, nor part of the products.

    Args:
        epsilon: Entropic regularisation of the plan, in units of cosine similarity.
        iterations: Sinkhorn iterations.
        plan: The factor Q of the logits: "log" is ``log Q`` (the code's default), "exp" the plan itself (the paper's equation).
        weight: Factor of both losses; 0 switches them off, and freezes the temperature.
        exp_scale: The learned temperature is multiplied as ``exp(logit_scale)``, as in CLIP; False: as it is (the code).
        grad: "detach": no gradient through the plan (the code); "autodiff": through all iterations.
    """

    name = "contrast"

    def __init__(
        self,
        *,
        epsilon: float = 0.1,
        iterations: int = 50,
        plan: Literal["log", "exp"] = "log",
        weight: float = 1.0,
        exp_scale: bool = False,
        grad: GradientPolicy = "detach",
    ) -> None:
        super().__init__(epsilon=epsilon, iterations=iterations, grad=grad)
        if plan not in ("log", "exp"):
            raise ValueError(f"plan is {plan!r}, it must be 'log' (the official code) or 'exp' (the paper).")
        if weight < 0:
            raise ValueError(f"The weight of the transport loss is {weight}, it must be 0 (off) or above.")
        self.log_factor = plan == "log"
        self.weight = weight
        self.exp_scale = exp_scale
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)), requires_grad=weight > 0)

    def forward(self, audio: Tokens, video: Tokens) -> AlignerOutput:
        """Solve the transport between tokens ``[B, Na, C]`` and ``[B, Nv, C]``, and compute the contrastive loss.

        Returns:
            The losses "ot_visual" and "ot_audio" (means over the real tokens of the clips that have both streams; none where
            the weight is 0) and the plan ``[B, Nv, Na]``.
        """
        similarity, plan = self.solve(audio, video)  # [B, Nv, Na]
        if self.weight == 0:
            return AlignerOutput({}, plan)
        with full_precision(audio.x.device):
            real = video.full_mask().unsqueeze(2) & audio.full_mask().unsqueeze(1)  # [B, Nv, Na]
            factor = plan.log_plan.masked_fill(~real, 0) if self.log_factor else plan.plan
            losses = {
                "ot_visual": self.weight * self._contrast(factor, similarity, real.any(dim=2)),
                "ot_audio": self.weight * self._contrast(factor.mT, similarity.mT, real.any(dim=1)),
            }
        return AlignerOutput(losses, plan)

    def temperature(self) -> Tensor:
        """Return the factor of the logits: the parameter clamped to [0, ln 100], or its exponential."""
        scale = as_full_precision(self.logit_scale).clamp(0, MAX_LOGIT_SCALE)
        return scale.exp() if self.exp_scale else scale

    def _contrast(self, factor: Tensor, similarity: Tensor, real: Tensor) -> Tensor:
        """Compute the mean over real tokens j of ``-log softmax_i(scale * <factor_i, similarity_j>)`` at i = j."""
        logits = self.temperature() * (factor @ similarity.mT)  # [B, N(i), N(j)]
        logits = logits.masked_fill(~real.unsqueeze(2), torch.finfo(logits.dtype).min)
        log_likelihood = logits.log_softmax(dim=1).diagonal(dim1=1, dim2=2)  # [B, N]
        return masked_mean(-log_likelihood, real)
