"""What a linear map tells of vectors that it was not fitted to."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avcap.metrics.linear_probe import LinearProbe, Pairs, explained


def world(noise: float, clips: int, seed: int) -> Pairs:
    """Two of five channels tell three values, but for noise, with scales and a mean of their own."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(clips, 5, generator=draw, dtype=torch.float64)
    mixing = torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]], dtype=torch.float64)
    y = x[:, :2] @ mixing + 7 + noise * torch.randn(clips, 3, generator=draw, dtype=torch.float64)
    return Pairs(x * torch.tensor([1.0, 100.0, 1.0, 0.01, 1.0]) + 5, y)


def share(probe: LinearProbe, pairs: Pairs) -> float:
    return explained(probe(pairs.x), pairs.y, probe.centre)


def test_a_linear_relation_is_found_whatever_the_scales():
    probe = LinearProbe(world(0, 400, 0), world(0, 50, 1))
    assert probe.penalty == 1.0
    assert share(probe, world(0, 100, 2)) == pytest.approx(1, abs=1e-4)


def test_noise_bounds_what_is_told():
    probe = LinearProbe(world(2.0, 4000, 0), world(2.0, 500, 1))
    assert share(probe, world(2.0, 4000, 2)) == pytest.approx(
        15 / (15 + 3 * 4), abs=0.03
    )  # variance 1 + 5 + 9, and noise


def test_what_has_nothing_to_tell_is_held_down_by_the_penalty():
    draw = torch.Generator().manual_seed(0)

    def random(clips: int) -> Tensor:
        return torch.randn(clips, 30, generator=draw)

    fit, choose, test = (Pairs(random(n), random(n)) for n in (60, 60, 200))
    assert LinearProbe(fit, choose).penalty >= 1000.0
    told = share(LinearProbe(fit, choose), test)
    assert -0.02 < told < 0.02
    assert share(LinearProbe(fit, choose, penalties=[1.0]), test) < -0.3


def test_a_channel_that_never_varies_does_no_harm():
    fit, choose = (
        Pairs(torch.cat([pairs.x, torch.ones(len(pairs.x), 1)], dim=1), pairs.y)
        for pairs in (world(0, 90, 0), world(0, 9, 1))
    )
    assert share(LinearProbe(fit, choose), choose) == pytest.approx(1, abs=1e-3)


def test_explained_is_one_zero_and_less():
    true = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0]])
    centre = torch.zeros(2)
    assert explained(true, true, centre) == 1
    assert explained(torch.zeros(3, 2), true, centre) == 0
    assert explained(-true, true, centre) == pytest.approx(-3)


def test_too_few_clips_are_told():
    with pytest.raises(ValueError, match="two clips to fit and one to choose by, not 1 and 4"):
        LinearProbe(world(0, 1, 0), world(0, 4, 1))
