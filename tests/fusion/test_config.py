"""Every fusion can be named in a config by its short name, with its arguments."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from jsonargparse import ArgumentError, ArgumentParser

import avcap.fusion  # noqa: F401  importing it is the registration
from avcap.fusion import Fusion

SETTINGS = {
    "AudioOnly": {},
    "VideoOnly": {},
    "TimeConcat": {},
    "ChannelConcat": {},
    "CrossAttention": {"heads": 2, "dropout": 0.1},
    "OTTimeConcat": {"epsilon": 0.05, "iterations": 20},
    "OTChannelConcat": {"loss_weight": 0.0, "grad": "autodiff"},
    "OTCrossAttention": {"heads": 4, "plan": "exp"},
    "OTAttention": {"epsilon": 0.2, "iterations": 5, "plan": "exp", "loss_weight": 0.5, "rescale": True},
    "TransportAdd": {"rescale": True, "plan": {"class_path": "TokenPlan", "init_args": {"epsilon": 0.2}}},
    "ContrastedOTAttention": {"epsilon": 0.2, "iterations": 5, "clips": {"class_path": "ClipContrast"}},
    "AlignedFusion": {
        "merge": {"class_path": "TokenConcat", "init_args": {"joint_depth": 1, "heads": 2}},
        "align": [{"class_path": "PlanContrast", "init_args": {"epsilon": 0.2}}, {"class_path": "ClipContrast"}],
        "normalise": True,
    },
}


@pytest.fixture
def parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--fusion", type=Callable[[int | None, int | None], Fusion])
    return parser


@pytest.mark.parametrize("name", SETTINGS)
def test_builds_from_its_short_name(parser: ArgumentParser, name: str) -> None:
    config = parser.parse_object({"fusion": {"class_path": name, "init_args": SETTINGS[name]}})
    fusion = parser.instantiate(config).fusion(16, 8)
    assert type(fusion).__name__ == name
    if "epsilon" in SETTINGS[name]:
        assert fusion.contrast.epsilon == SETTINGS[name]["epsilon"]
        assert fusion.contrast.iterations == SETTINGS[name]["iterations"]


def test_any_merge_is_aligned_by_one_kind_or_by_several(parser: ArgumentParser) -> None:
    for align, names in (("PlanContrast", ["contrast"]), (SETTINGS["AlignedFusion"]["align"], ["contrast", "clips"])):
        settings = {"merge": "TokenConcat", "align": align}
        config = parser.parse_object({"fusion": {"class_path": "AlignedFusion", "init_args": settings}})
        fusion = parser.instantiate(config).fusion(64, 8)
        assert list(fusion.aligners) == names
        assert type(fusion.merge).__name__ == "TokenConcat"


def test_an_objective_of_dalis_is_nested_in_an_aligner(parser: ArgumentParser) -> None:
    objective = {"class_path": "MMDAlignment", "init_args": {"kernels": 3}}
    align = {"class_path": "ObjectiveAligner", "init_args": {"objective": objective, "weight": 0.2}}
    config = {"class_path": "AlignedFusion", "init_args": {"merge": "TimeConcat", "align": align}}
    fusion = parser.instantiate(parser.parse_object({"fusion": config})).fusion(16, 8)
    assert fusion.objective.objective.kernels == 3


def test_settings_of_the_aligners_are_reached_from_the_command_line(parser: ArgumentParser) -> None:
    words = ["--fusion", "OTAttention", "--fusion.init_args.epsilon", "0.3", "--fusion.init_args.loss_weight", "0.5"]
    fusion = parser.instantiate(parser.parse_args(words)).fusion(16, 8)
    assert (fusion.contrast.epsilon, fusion.contrast.weight) == (0.3, 0.5)
    words = [
        "--fusion",
        "AlignedFusion",
        "--fusion.init_args.merge",
        "TimeConcat",
        "--fusion.init_args.align",
        "TokenPlan",
    ]
    words += ["--fusion.init_args.align.init_args.iterations", "7"]
    fusion = parser.instantiate(parser.parse_args(words)).fusion(16, 8)
    assert fusion.token_plan.iterations == 7


@pytest.mark.parametrize(
    "config",
    [
        {"class_path": "OTAttention", "init_args": {"epsilom": 0.1}},
        {"class_path": "OTAttention", "init_args": {"plan": "raw"}},
        {"class_path": "ot_attention"},
    ],
)
def test_refuses_what_it_does_not_know(parser: ArgumentParser, config: dict) -> None:
    with pytest.raises((ArgumentError, ValueError)):
        parser.instantiate(parser.parse_object({"fusion": config})).fusion(16, 8)
