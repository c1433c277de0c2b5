"""The cross-entropy without its logits equals the plain one, and takes less memory."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, LlamaConfig

from avcap.decoders.language_model import IGNORED, has_plain_head, predict, recomputed_cross_entropy
from avcap.footprint import Footprint

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def lm():
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(LlamaConfig(vocab_size=3000, **SIZES))


def plain(lm, embeds, mask, labels, *, smoothing):
    logits = predict(lm, embeds, mask, last=labels.shape[1])
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, label_smoothing=smoothing)


def inputs(clips: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    mask = torch.ones(clips, 12, dtype=torch.bool)
    mask[0, :3] = False
    labels = torch.randint(3000, (clips, 7), generator=draw)
    labels[:, -2:] = IGNORED
    return torch.randn(clips, 12, 16, generator=draw), mask, labels


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [4, 256])
def test_loss_and_gradients_are_those_of_the_plain_one(lm, smoothing, rows):
    embeds, mask, labels = inputs(3)
    assert has_plain_head(lm)
    found = []
    for compute, more in ((plain, {}), (recomputed_cross_entropy, {"rows": rows})):
        model, x = copy.deepcopy(lm), embeds.clone().requires_grad_()
        loss = compute(model, x, mask, labels, smoothing=smoothing, **more)
        loss.backward()
        found.append([loss, x.grad, *(p.grad for p in model.parameters() if p.grad is not None)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_the_logits_of_a_large_batch_are_never_there_at_once(lm):
    embeds, mask, labels = inputs(64)
    logits = 64 * 7 * 3000 * 4  # bytes
    peaks = []
    for compute, more in ((plain, {}), (recomputed_cross_entropy, {"rows": 32})):
        model = copy.deepcopy(lm).requires_grad_(False)
        with Footprint(model) as alive:
            compute(model, embeds.clone().requires_grad_(), mask, labels, smoothing=0.0, **more).backward()
        peaks.append(alive.peak)
    assert peaks[0] > 2 * logits
    assert peaks[1] < logits / 2
