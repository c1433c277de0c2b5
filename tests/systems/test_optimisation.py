from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, MultiStepLR
from transformers import get_linear_schedule_with_warmup

from avcap.systems import Constant, StepDecay, WarmupCosine, WarmupLinear
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
@pytest.mark.parametrize("kind", [WarmupCosine, WarmupLinear, StepDecay])
def test_warmup_outside_its_range_is_refused(kind, warmup):
    with pytest.raises(ValueError, match="share of the run"):
        kind(warmup=warmup)


def rates(schedule: LambdaLR | MultiStepLR, steps: int) -> list[float]:
    """The factors that a scheduler of torch gives, step by step."""
    found = []
    for _ in range(steps):
        found.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    return found


def optimiser() -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)


def test_the_linear_course_is_that_of_hugging_face():
    expected = rates(get_linear_schedule_with_warmup(optimiser(), 20, 100), 100)
    assert [WarmupLinear(0.2)(step / 100) for step in range(100)] == pytest.approx(expected)
    assert WarmupLinear(0.2)(1.2) == 0.0


@pytest.mark.parametrize(("epochs", "begin", "every"), [(20, 10, 5), (30, 10, 5), (21, 7, 3)])
def test_a_step_decay_is_that_of_torch(epochs: int, begin: int, every: int):
    expected = rates(MultiStepLR(optimiser(), list(range(begin, 1000, every)), gamma=0.5), epochs)
    schedule = StepDecay(begin / epochs, every / epochs)
    assert [schedule(epoch / epochs) for epoch in range(epochs)] == pytest.approx(expected)


def test_a_step_decay_may_warm_up():
    schedule = StepDecay(warmup=0.1)
    assert [schedule(progress) for progress in (0.0, 0.05, 0.1, 0.4, 0.5, 0.75)] == [0.0, 0.5, 1.0, 1.0, 0.5, 0.25]


@pytest.mark.parametrize("settings", [{"begin": 0.1, "warmup": 0.2}, {"every": 0.0}, {"factor": -1.0}])
def test_a_step_decay_that_makes_no_sense_is_refused(settings):
    with pytest.raises(ValueError, match="begin must not be before warmup"):
        StepDecay(**settings)


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
