"""Contrastive alignment of clips by their mean tokens: the baseline."""

from __future__ import annotations

import torch
from torch import Tensor

from avcap.layers.masking import have_both, mean_token
from avcap.losses.dali_objective import AlignmentObjective, AlignmentOutput, mean_over_clips
from avcap.transport import as_full_precision, cosine_similarity, full_precision
from avcap.types import Tokens


class ContrastiveAlignment(AlignmentObjective):
    """Symmetric InfoNCE between mean audio and mean image tokens, the other clips of the batch as negatives.

    Gong et al., "Contrastive Audio-Visual Masked Autoencoder" (ICLR 2023). Under DDP the negatives are those of the process.

    Args:
        temperature: Divides the cosine similarities.
    """

    def __init__(self, *, temperature: float = 0.05) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"ContrastiveAlignment: temperature is {temperature}, it must be above 0.")
        self.temperature = temperature

    def forward(self, audio: Tokens, image: Tokens, *, epoch: int) -> AlignmentOutput:
        """Compare tokens ``[B, Na, C]`` and ``[B, Nv, C]``; the epoch has no influence.

        A clip that lacks a stream is neither a target nor a negative. The log "accuracy" is the share of clips whose audio
        is nearest to its own image.
        """
        both = have_both(audio, image)  # [B]
        with full_precision(audio.x.device):
            scores = cosine_similarity(_mean(audio).unsqueeze(0), _mean(image).unsqueeze(0)).squeeze(0)  # [B, B]
            scores = scores / self.temperature
            scores = scores.masked_fill(~(both.unsqueeze(0) & both.unsqueeze(1)), torch.finfo(scores.dtype).min)
            to_image, to_audio = scores.log_softmax(dim=1).diagonal(), scores.log_softmax(dim=0).diagonal()  # [B]
            loss, per_clip = mean_over_clips(-(to_image + to_audio) / 2, audio, image)
            own = torch.arange(len(scores), device=scores.device)
            accuracy, _ = mean_over_clips((scores.argmax(dim=1) == own).to(scores.dtype), audio, image)
        return AlignmentOutput(loss, per_clip, {"contrastive": loss.detach(), "accuracy": accuracy})


def _mean(tokens: Tokens) -> Tensor:
    return mean_token(tokens._replace(x=as_full_precision(tokens.x)))
