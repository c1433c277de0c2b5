"""The contrast of clips, and why it is there."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from avcap.losses.clip_contrast import ClipContrast
from avcap.losses.lavcap_plan_contrast import PlanContrast
from avcap.metrics.map_quality import mass_on_pairs
from avcap.transport import sinkhorn
from avcap.types import Tokens

KINDS, FRAMES = 6, 4


def scenes(clips: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Clips of two events in turn: sounds ``[B, 8, KINDS]`` and pictures ``[B, 4, KINDS]`` in codes of their own, true pairs."""
    kinds = torch.stack([torch.randperm(KINDS, generator=generator)[:2] for _ in range(clips)])  # [B, 2]
    seen, heard = kinds.repeat_interleave(FRAMES // 2, 1), kinds.repeat_interleave(FRAMES, 1)  # [B, 4], [B, 8]
    sounds = F.one_hot((heard + 1) % KINDS, KINDS).float() + 0.1 * torch.randn(clips, 8, KINDS, generator=generator)
    pictures = F.one_hot(seen, KINDS).float() + 0.1 * torch.randn(clips, 4, KINDS, generator=generator)
    return sounds, pictures, seen.unsqueeze(2) == heard.unsqueeze(1)


def learned(loss, steps: int = 150) -> float:
    """The share of plan mass on true pairs, where half is chance, after training two linear encoders."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    ears, eyes = nn.Linear(KINDS, 8), nn.Linear(KINDS, 8)
    optimizer = torch.optim.Adam([*ears.parameters(), *eyes.parameters(), *loss.parameters()], lr=0.02)
    for _ in range(steps):
        sounds, pictures, _ = scenes(16, generator)
        total = sum(loss(Tokens(ears(sounds)), Tokens(eyes(pictures))).losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    sounds, pictures, truth = scenes(64, generator)
    with torch.no_grad():
        similarity = F.normalize(eyes(pictures), dim=-1) @ F.normalize(ears(sounds), dim=-1).mT
        plan = sinkhorn(1 - similarity, epsilon=0.05).plan
    return float(mass_on_pairs(plan, truth).mean())


def test_it_teaches_which_sound_belongs_to_which_picture():
    assert learned(ClipContrast(weight=1.0)) > 0.9


def test_the_contrast_with_a_clips_own_plan_does_not():
    assert learned(PlanContrast()) < 0.75


def test_the_own_plans_loss_does_not_see_the_order_of_pictures():
    torch.manual_seed(0)
    audio, video = torch.randn(3, 8, 5), torch.randn(3, 4, 5)
    loss = PlanContrast()
    straight = loss(Tokens(audio), Tokens(video)).losses
    turned = loss(Tokens(audio), Tokens(video.flip(1))).losses
    for name, value in straight.items():
        torch.testing.assert_close(value, turned[name], rtol=1e-5, atol=1e-6)


def test_scores_are_those_of_single_transports():
    torch.manual_seed(0)
    audio, video = torch.randn(3, 8, 5), torch.randn(3, 4, 5)
    scores = ClipContrast().scores(Tokens(audio), Tokens(video))
    for i in range(3):
        for j in range(3):
            similarity = F.normalize(video[i : i + 1], dim=-1) @ F.normalize(audio[j : j + 1], dim=-1).mT
            plan = sinkhorn(1 - similarity, epsilon=0.05, iterations=20).plan
            assert float(scores[i, j]) == pytest.approx(float((plan * similarity).sum()), abs=1e-5)


def test_a_chance_batch_costs_the_logarithm_of_its_size():
    same = torch.ones(4, 3, 5)
    loss = ClipContrast(weight=2.0)(Tokens(same), Tokens(same)).losses["clips"]
    assert loss.item() == pytest.approx(2 * math.log(4), abs=1e-5)


def test_padding_and_missing_streams_change_nothing():
    torch.manual_seed(0)
    audio, video = torch.randn(3, 6, 5, requires_grad=True), torch.randn(3, 4, 5)
    loss = ClipContrast()
    expected = loss(Tokens(audio[:2, :4]), Tokens(video[:2])).losses["clips"]
    real = torch.zeros(3, 6, dtype=torch.bool)
    real[:2, :4] = True  # the third clip has no sound
    got = loss(Tokens(audio, real), Tokens(video)).losses["clips"]
    torch.testing.assert_close(got, expected)
    got.backward()
    assert audio.grad.isfinite().all()
    assert not audio.grad[2].any()
    alone = loss(Tokens(audio[2:], real[2:]), Tokens(video[2:])).losses["clips"]
    assert float(alone) == 0
    alone.backward()
    assert loss.logit_scale.grad.isfinite()


def test_gradients_reach_both_streams_and_the_temperature():
    torch.manual_seed(0)
    audio, video = torch.randn(3, 6, 5, requires_grad=True), torch.randn(3, 4, 5, requires_grad=True)
    loss = ClipContrast()
    loss(Tokens(audio), Tokens(video)).losses["clips"].backward()
    assert all(float(x.grad.abs().sum()) > 0 for x in (audio, video, loss.logit_scale))


def test_the_weight_must_be_positive():
    with pytest.raises(ValueError, match="it must be above 0"):
        ClipContrast(weight=0.0)
