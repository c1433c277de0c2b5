"""Fusions and objectives take plain tensors ``[B, N, C]`` in the place of tokens."""

from __future__ import annotations

import pytest
import torch

from avcap.fusion import AudioOnly, CrossAttention, OTAttention, TimeConcat, TokenConcat
from avcap.losses import AttentiveOTAlignment, ContrastiveAlignment, MMDAlignment, OTAlignment
from avcap.types import Tokens

AUDIO, VIDEO = torch.randn(2, 6, 16), torch.randn(2, 4, 16)


@pytest.mark.parametrize("fusion", [AudioOnly, CrossAttention, OTAttention, TimeConcat, TokenConcat])
def test_a_fusion_gives_the_same_for_tensors_and_tokens(fusion):
    made = fusion(16, 16, **({"heads": 2} if fusion in (CrossAttention, TokenConcat) else {})).eval()
    plain, wrapped = made(AUDIO, video=VIDEO), made(Tokens(AUDIO), video=Tokens(VIDEO))
    assert torch.equal(plain.tokens.x, wrapped.tokens.x)


@pytest.mark.parametrize(
    "objective", [ContrastiveAlignment(), MMDAlignment(), OTAlignment(), AttentiveOTAlignment(16)], ids=repr
)
def test_an_objective_gives_the_same_for_tensors_and_tokens(objective):
    plain, wrapped = (objective.eval()(*pair, epoch=1) for pair in ((AUDIO, VIDEO), (Tokens(AUDIO), Tokens(VIDEO))))
    assert torch.equal(plain.per_clip, wrapped.per_clip)


def test_a_tensor_of_another_shape_is_refused():
    with pytest.raises(
        ValueError, match=r"tokens must be \[batch, tokens, channels\]; got a tensor of shape \[2, 16\]"
    ):
        TimeConcat(16, 16)(AUDIO[:, 0], VIDEO)
