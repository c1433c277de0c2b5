from __future__ import annotations

import math

import pytest

from avcap.systems import Constant, WarmupCosine


def test_warmup_rises_linearly_and_cosine_falls_to_the_floor():
    schedule = WarmupCosine(warmup=0.2, start=0.1, floor=0.05)
    assert schedule(0.0) == pytest.approx(0.1)
    assert schedule(0.1) == pytest.approx(0.55)
    assert schedule(0.2) == pytest.approx(1.0)
    assert schedule(0.6) == pytest.approx(0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert schedule(1.0) == pytest.approx(0.05)
    assert schedule(1.5) == pytest.approx(0.05)


def test_no_warmup_starts_at_the_maximum():
    assert WarmupCosine(warmup=0.0)(0.0) == 1.0
    assert Constant()(0.3) == 1.0


@pytest.mark.parametrize("warmup", [-0.1, 1.0])
def test_warmup_outside_its_range_is_refused(warmup):
    with pytest.raises(ValueError, match="share of the run"):
        WarmupCosine(warmup=warmup)
