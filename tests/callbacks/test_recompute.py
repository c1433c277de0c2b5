"""Encoders whose blocks are recomputed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from avcap.callbacks import RecomputeBlocks
from avcap.encoders import CAVMAEAudio, CEDEncoder
from avcap.footprint import Footprint
from avcap.frontends import KaldiFbank
from avcap.layers.lora import LoRA
from avcap.layers.vit import ViTSize


class Pair(nn.Module):
    """Two encoders, as a system has them."""

    parts = ("audio_encoder", "visual_encoder", "fusion")

    def __init__(self, audio: nn.Module) -> None:
        super().__init__()
        self.audio_encoder, self.visual_encoder, self.fusion = audio, None, None


def encoder(kind, **more) -> nn.Module:
    torch.manual_seed(0)
    return kind(ViTSize(16, 4, 2), frontend=KaldiFbank(16, target_length=64), **more).train()


@pytest.mark.parametrize("kind", [CEDEncoder, CAVMAEAudio])
@pytest.mark.parametrize("more", [{}, {"lora": LoRA(rank=2, dropout=0.5), "frozen": True}])
def test_gradients_and_names_stay_and_less_is_kept(kind, more):
    plain = encoder(kind, **more)
    system = Pair(copy.deepcopy(plain))
    RecomputeBlocks().mark(system)
    assert list(system.audio_encoder.state_dict()) == list(plain.state_dict())
    x = torch.randn(8, 64, 16)
    kept = []
    for model in (plain, system.audio_encoder):
        torch.manual_seed(1)
        with Footprint(model) as alive:
            loss = model(x).x.square().mean()
        kept.append(alive.now)
        loss.backward()
    assert kept[1] < 0.6 * kept[0]
    for one, other in zip(plain.parameters(), system.audio_encoder.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad)


def test_a_part_that_is_not_there_is_told():
    with pytest.raises(ValueError, match="names ears, but the parts are audio_encoder"):
        RecomputeBlocks(["ears"]).mark(Pair(encoder(CEDEncoder)))
    with pytest.raises(ValueError, match="no blocks that learn something in audio_encoder, visual_encoder"):
        RecomputeBlocks().mark(Pair(encoder(CEDEncoder, frozen=True)))
