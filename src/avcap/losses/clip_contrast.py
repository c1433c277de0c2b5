"""Contrast of clips by the transport between their tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from avcap.layers.masking import have_both, zero_padding
from avcap.losses.aligner import Aligner, AlignerOutput
from avcap.losses.lavcap_plan_contrast import MAX_LOGIT_SCALE
from avcap.transport import as_full_precision, cosine_similarity, full_precision, sinkhorn
from avcap.types import Tokens


class ClipContrast(Aligner):
    """Contrast the transport cost between a clip's audio and its own video with the costs to other clips' videos.

    :class:`PlanContrast` compares the tokens of one clip with their own plan. It does not change if the frames are
    permuted, and hardly changes if they come from another clip. So it cannot teach which sound belongs to which frame.
    Here the score of sound i and frames j is the similarity that the entropic plan reaches between their
    tokens, ``<P_ij, S_ij>``, and the loss is the symmetric InfoNCE over the batch (as CAV-MAE has it on mean tokens). Each token
    is drawn to those of the other stream that explain it; which these are, in time, follows from what clips have in
    common and what not. The plan is held constant, so the gradient is that of the similarities under it.

    B x B transports are solved in a step: with 32 clips of 32 and 8 tokens a thousand small ones, in one call. Under DDP the
    negatives are those of the process.

    Args:
        epsilon: Entropic regularisation of the plans, in units of cosine similarity.
        iterations: Sinkhorn iterations.
        weight: Factor of the loss.

    Raises:
        ValueError: if the weight is not above 0.
    """

    name = "clips"

    def __init__(self, *, epsilon: float = 0.05, iterations: int = 20, weight: float = 0.1) -> None:
        super().__init__()
        if not weight > 0:
            raise ValueError(f"The weight of the contrast of clips is {weight}, it must be above 0.")
        self.epsilon = epsilon
        self.iterations = iterations
        self.weight = weight
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, audio: Tokens, video: Tokens) -> AlignerOutput:
        """Return the weighted loss "clips" of tokens ``[B, Na, C]`` and ``[B, Nv, C]``; 0 if fewer than two clips have both."""
        both = have_both(audio, video)  # [B]
        with full_precision(audio.x.device):
            scale = as_full_precision(self.logit_scale).clamp(0, MAX_LOGIT_SCALE).exp()
            logits = scale * self.scores(audio, video)  # [B, B], rows visual
            logits = logits.masked_fill(~(both.unsqueeze(0) & both.unsqueeze(1)), torch.finfo(logits.dtype).min)
            own = logits.log_softmax(dim=0).diagonal() + logits.log_softmax(dim=1).diagonal()  # [B]
            mean = torch.where(both, -own / 2, 0).sum() / both.sum().clamp_min(1)
            return AlignerOutput({"clips": self.weight * mean})

    def scores(self, audio: Tokens, video: Tokens) -> Tensor:
        """Compute the transported similarity ``[B, B]`` of each clip's video (rows) and each clip's audio (columns)."""
        audio, video = zero_padding(audio), zero_padding(video)
        clips = len(audio.x)
        rows = torch.arange(clips, device=audio.x.device).repeat_interleave(clips)  # [B * B]
        columns = torch.arange(clips, device=audio.x.device).repeat(clips)
        similarity = cosine_similarity(video.x.flatten(0, 1)[None], audio.x.flatten(0, 1)[None])  # [1, B * Nv, B * Na]
        similarity = (
            similarity.view(clips, video.x.shape[1], clips, audio.x.shape[1]).transpose(1, 2).flatten(0, 1)
        )  # [B * B, Nv, Na]
        transport = sinkhorn(
            1 - similarity,
            epsilon=self.epsilon,
            iterations=self.iterations,
            mask_a=None if video.mask is None else video.mask[rows],
            mask_b=None if audio.mask is None else audio.mask[columns],
        )
        return 1 - transport.value.view(clips, clips)
