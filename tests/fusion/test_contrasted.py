"""Transport attention with the contrast of clips."""

from __future__ import annotations

import torch

from avcap.fusion import ContrastedOTAttention, OTAttention
from avcap.losses import ClipContrast
from avcap.types import Tokens


def test_tokens_and_map_are_those_of_the_attention_and_the_loss_is_added():
    torch.manual_seed(0)
    audio, video = Tokens(torch.randn(3, 6, 8)), Tokens(torch.randn(3, 4, 8))
    plain = OTAttention(8, 8, rescale=True)(audio, video)
    ours = ContrastedOTAttention(8, 8, rescale=True, clips=ClipContrast(weight=0.3))(audio, video)
    torch.testing.assert_close(ours.tokens.x, plain.tokens.x)
    torch.testing.assert_close(ours.maps["plan"].plan, plain.maps["plan"].plan)
    assert set(ours.losses) == {"ot_visual", "ot_audio", "clips"}
    torch.testing.assert_close(ours.losses["clips"], ClipContrast(weight=0.3)(audio, video).losses["clips"])


def test_a_batch_without_one_stream_has_no_contrast():
    torch.manual_seed(0)
    fusion = ContrastedOTAttention(8, 8)
    out = fusion(Tokens(torch.randn(3, 6, 8)), None)
    assert float(out.losses["clips"]) == 0
    sum(out.losses.values()).backward()
    assert fusion.clips.logit_scale.grad is not None  # so that a distributed backward does not wait for it
