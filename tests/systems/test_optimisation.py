from __future__ import annotations

import math

import pytest
from torch import nn

from avcap.systems import Constant, WarmupCosine
from avcap.systems.optimisation import parameter_groups, path_scales


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


class Two(nn.Module):
    """A system of two parts, one with modules inside."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"stream": nn.Linear(2, 3), "projection": nn.Linear(3, 4)})
        self.decoder = nn.Linear(4, 5)
        self.absent = None


def test_the_innermost_path_sets_the_learning_rate():
    system = Two()
    scales = {"encoder.projection": 5.0, "encoder": 0.5, "absent": 9.0}
    groups = parameter_groups(system, ("encoder", "decoder", "absent"), scales)
    found = {p: group["lr_scale"] for group in groups for p in group["params"]}
    expected = {"encoder.stream": 0.5, "encoder.projection": 5.0, "decoder": 1.0}
    assert {name: found[p] for name, p in system.named_parameters()} == {
        f"{path}.{leaf}": scale for path, scale in expected.items() for leaf in ("weight", "bias")
    }


def test_a_path_that_is_not_there_is_told():
    with pytest.raises(ValueError, match=r"lr_scales names encoder\.head, but encoder has stream, projection"):
        path_scales(Two(), {"encoder.head": 1.0})
