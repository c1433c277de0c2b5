"""The few types that every part of avcap shares, and the legend of shape letters.

Letters used in comments and docstrings throughout:

====  =====================================================================
B     batch (clips)
T, F  spectrogram frames (time) and mel bins (frequency)
N     tokens; ``Na`` audio tokens, ``Nv`` visual tokens
C     channels (token width); ``Ca``, ``Cv`` of one stream
L     text tokens
V     vocabulary
H, W  height and width of a video frame
====  =====================================================================
"""

from __future__ import annotations

from typing import NamedTuple, TypedDict

import torch
from torch import Tensor


class Batch(TypedDict, total=False):
    """What a data module yields. A stream that no clip of the batch has is left out.

    A mask is ``True`` where the data is real; a clip that lacks one stream has an all-``False`` row.
    """

    id: list[str]  # youtube_id + "_" + start time in seconds
    audio: Tensor  # [B, T, F] float32, made by the audio encoder's front end; a waveform is [B, T]
    audio_mask: Tensor  # [B, T] bool
    frames: Tensor  # [B, Nf, 3, H, W] uint8 RGB; the visual encoder normalises them itself
    frames_mask: Tensor  # [B, Nf] bool
    visual_features: Tensor  # [B, Nf, Cv] float32, made beforehand by a frozen encoder
    visual_features_mask: Tensor  # [B, Nf] bool
    caption: list[str]  # one target caption a clip (training)
    prompt: list[str | None]  # its instruction, None: the decoder's own; left out where no clip has one (training)
    references: list[list[str]]  # all reference captions of each clip (evaluation)


class Tokens(NamedTuple):
    """A padded set of tokens."""

    x: Tensor  # [B, N, C]
    mask: Tensor | None = None  # [B, N] bool, True where the token is real; None: all are

    def full_mask(self) -> Tensor:
        """The mask ``[B, N]``, all ``True`` where none was given."""
        if self.mask is not None:
            return self.mask
        return torch.ones(self.x.shape[:2], dtype=torch.bool, device=self.x.device)


class FusionOutput(NamedTuple):
    """What a fusion hands to the decoder, and what it wants minimised and looked at."""

    tokens: Tokens  # fused tokens [B, N, C]
    losses: dict[str, Tensor]  # name -> scalar, already multiplied by its own weight
    maps: dict[str, Tensor]  # name -> assignment map [B, Nv, Na]


class TransportPlan(NamedTuple):
    """An entropic transport plan, batched."""

    log_plan: Tensor  # [B, n, m]; exp() sums to 1 over the real tokens, -inf on padding
    value: Tensor  # [B] transport cost <plan, cost>

    @property
    def plan(self) -> Tensor:
        """The coupling itself ``[B, n, m]``."""
        return self.log_plan.exp()


class Generation(TypedDict, total=False):
    """Decoding settings; the names and meanings are those of Hugging Face ``generate``."""

    num_beams: int
    max_new_tokens: int
    min_new_tokens: int
    length_penalty: float
    repetition_penalty: float
    no_repeat_ngram_size: int
    do_sample: bool
    temperature: float
    top_p: float
    top_k: int
