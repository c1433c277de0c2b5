"""Frozen weights stored in the number format of autocast give the results of float32 ones."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from avcap.encoders import CAVMAEAudio, CEDEncoder
from avcap.frontends import KaldiFbank
from avcap.layers.lora import LoRA
from avcap.layers.vit import ViTSize
from avcap.systems.frozen_format import store_as_computed

SIZE, LORA = ViTSize(16, 2, 2), LoRA(rank=2, dropout=0.0)


@pytest.mark.parametrize("kind", [CEDEncoder, CAVMAEAudio])
def test_outputs_and_gradients_are_equal(kind):
    torch.manual_seed(0)
    plain = kind(SIZE, frontend=KaldiFbank(16, target_length=32), lora=LORA, frozen=True).train()
    for name, weight in plain.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight)
    stored = copy.deepcopy(plain)
    frozen = {name for name, weight in plain.named_parameters() if not weight.requires_grad}
    store_as_computed(stored, frozen, torch.bfloat16)
    halved = {name for name, weight in stored.named_parameters() if weight.dtype == torch.bfloat16}
    assert halved
    assert not any("norm" in name or "lora" in name for name in halved)
    x = torch.randn(2, 32, 16)
    for encoder in (plain, stored):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            tokens = encoder(x).x
        tokens.square().sum().backward()
        encoder.tokens = tokens.detach()
    assert torch.equal(plain.tokens, stored.tokens)
    for one, other in zip(plain.parameters(), stored.parameters(), strict=True):
        assert one.grad is None or torch.equal(one.grad, other.grad)


def test_a_weight_of_two_owners_and_one_that_is_not_named_stay():
    words, head, chosen = nn.Embedding(4, 4), nn.Linear(4, 4, bias=False), nn.Linear(4, 4)
    head.weight = words.weight
    model = nn.ModuleDict({"words": words, "head": head, "chosen": chosen, "other": nn.Linear(4, 4)})
    model.requires_grad_(False)
    store_as_computed(model, {"words.weight", "head.weight", "chosen.weight"}, torch.bfloat16)
    assert {name for name, w in model.named_parameters() if w.dtype == torch.bfloat16} == {"chosen.weight"}
