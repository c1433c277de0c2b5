"""The transport loss of LAVCap; its parity with the official code is in tests/fusion/test_golden.py."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from avcap.losses import PlanContrast
from avcap.types import Tokens


def pair(B: int = 2, Na: int = 7, Nv: int = 4, C: int = 16, seed: int = 0) -> tuple[Tokens, Tokens]:
    generator = torch.Generator().manual_seed(seed)
    return (Tokens(torch.randn(B, Na, C, generator=generator)), Tokens(torch.randn(B, Nv, C, generator=generator)))


@pytest.mark.parametrize("plan", ["log", "exp"])
@pytest.mark.parametrize("exp_scale", [False, True])
def test_is_a_cross_entropy_over_the_rows_of_the_plan(plan: str, exp_scale: bool) -> None:
    audio, video = pair()
    module = PlanContrast(plan=plan, exp_scale=exp_scale, weight=0.5)
    losses, transport = module(audio, video)
    similarity = nn.functional.normalize(video.x, dim=-1) @ nn.functional.normalize(audio.x, dim=-1).mT
    scale = 1 / 0.07 if exp_scale else math.log(1 / 0.07)
    q = transport.log_plan if plan == "log" else transport.plan
    for name, factor, scores in (("ot_visual", q, similarity), ("ot_audio", q.mT, similarity.mT)):
        logits = scale * torch.einsum("bia,bja->bij", factor, scores)
        target = torch.arange(logits.shape[1]).expand(2, -1)
        torch.testing.assert_close(
            losses[name], 0.5 * nn.functional.cross_entropy(logits, target), rtol=1e-5, atol=1e-6
        )


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 4)), min_size=1, max_size=4), seed=st.integers(0, 99)
)
@pytest.mark.parametrize("plan", ["log", "exp"])
def test_masking_is_removing_and_the_mean_is_over_real_tokens(
    lengths: list[tuple[int, int]], seed: int, plan: str
) -> None:
    audio, video = pair(B=len(lengths), seed=seed)
    module = PlanContrast(plan=plan)
    a, v = (torch.tensor(n).unsqueeze(1) for n in zip(*lengths, strict=True))
    masked, _ = module(
        Tokens(audio.x, torch.arange(7).expand(len(lengths), -1) < a),
        Tokens(video.x, torch.arange(4).expand(len(lengths), -1) < v),
    )
    totals = {"ot_audio": 0.0, "ot_visual": 0.0}
    for clip, (na, nv) in enumerate(lengths):
        alone, _ = module(Tokens(audio.x[clip : clip + 1, :na]), Tokens(video.x[clip : clip + 1, :nv]))
        totals["ot_audio"] += alone["ot_audio"].item() * na / a.sum().item()
        totals["ot_visual"] += alone["ot_visual"].item() * nv / v.sum().item()
    for name, total in totals.items():
        assert masked[name].item() == pytest.approx(total, rel=1e-4, abs=1e-5)


def test_nan_in_padding_reaches_nothing() -> None:
    audio, video = pair()
    mask = (torch.arange(7) < 5).expand(2, -1)
    dirty = audio.x.clone()
    dirty[:, 5:] = torch.nan
    gradients = []
    for x in (audio.x, dirty):
        visual = video.x.clone().requires_grad_()
        losses, _ = PlanContrast()(Tokens(x, mask), Tokens(visual))
        sum(losses.values()).backward()
        gradients.append(visual.grad)
    assert torch.equal(*gradients)


def test_clips_that_lack_a_stream_take_no_part() -> None:
    audio, video = pair(B=3)
    mask = torch.ones(3, 7, dtype=torch.bool)
    mask[1] = False
    audio_x = audio.x.clone().requires_grad_()
    module = PlanContrast()
    losses, plan = module(Tokens(audio_x, mask), video)
    rest, _ = module(Tokens(audio.x[[0, 2]]), Tokens(video.x[[0, 2]]))
    for name, value in losses.items():
        torch.testing.assert_close(value, rest[name])
    assert plan.plan[1].eq(0).all()
    sum(losses.values()).backward()
    assert torch.isfinite(audio_x.grad).all()
    assert audio_x.grad[1].eq(0).all()
    assert torch.isfinite(module.logit_scale.grad)


@pytest.mark.parametrize("tokens", [0, 3])
def test_a_batch_without_pairs_has_zero_loss_that_still_reaches_the_temperature(tokens: int) -> None:
    _, video = pair()
    module = PlanContrast()
    losses, _ = module(Tokens(torch.zeros(2, tokens, 16), torch.zeros(2, tokens, dtype=torch.bool)), video)
    assert {name: value.item() for name, value in losses.items()} == {"ot_visual": 0.0, "ot_audio": 0.0}
    sum(losses.values()).backward()
    assert module.logit_scale.grad.item() == 0


def test_temperature_is_learned_and_clamped() -> None:
    module = PlanContrast()
    assert module.temperature().item() == pytest.approx(2.6592600)
    losses, _ = module(*pair())
    sum(losses.values()).backward()
    assert module.logit_scale.grad.item() != 0
    for value, expected in ((9.0, math.log(100)), (-1.0, 0.0)):
        module.logit_scale.data.fill_(value)
        assert module.temperature().item() == pytest.approx(expected)


def test_weight_zero_switches_the_loss_off_and_keeps_the_plan() -> None:
    module = PlanContrast(weight=0.0)
    losses, plan = module(*pair())
    assert losses == {}
    torch.testing.assert_close(plan.plan, PlanContrast()(*pair())[1].plan)
    assert not module.logit_scale.requires_grad  # nothing left unused by a distributed backward


def test_gradient_policies_differ_and_are_finite() -> None:
    gradients = []
    for grad in ("detach", "autodiff"):
        audio, video = pair()
        x = audio.x.requires_grad_()
        losses, _ = PlanContrast(plan="exp", grad=grad)(Tokens(x), video)
        sum(losses.values()).backward()
        gradients.append(x.grad)
    assert all(torch.isfinite(g).all() for g in gradients)
    assert not torch.allclose(gradients[0], gradients[1])


def test_is_in_full_precision_under_autocast() -> None:
    audio, video = pair()
    module = PlanContrast()
    losses, plan = module(audio, video)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under, under_plan = module(audio, video)
    assert all(torch.equal(under[name], losses[name]) for name in losses)
    assert torch.equal(under_plan.log_plan, plan.log_plan)


def test_minimising_it_lowers_it() -> None:
    audio, video = pair()
    x = nn.Parameter(audio.x)
    module = PlanContrast(plan="exp", exp_scale=True)
    optimizer = torch.optim.Adam([x], lr=0.05)
    history = []
    for _ in range(30):
        losses, _ = module(Tokens(x), video)
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(total.item())
    assert history[-1] < history[0] - 0.01


@pytest.mark.parametrize(("setting", "message"), [({"plan": "raw"}, "plan is 'raw'"), ({"weight": -1.0}, "is -1.0")])
def test_wrong_settings_are_named(setting: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PlanContrast(**setting)
