"""CONTRIBUTING.md, "Add an objective in four steps": the code there works as it stands."""

from __future__ import annotations

import pytest
from jsonargparse import ArgumentParser

from avcap.losses import AlignmentObjective
from tests.guide import Guide


def test_the_four_steps_work(monkeypatch: pytest.MonkeyPatch) -> None:
    guide = Guide("Add an objective in four steps", "avcap.losses.moment_alignment", monkeypatch)
    parser = ArgumentParser()
    parser.add_argument("--objective", type=AlignmentObjective)
    objective = parser.instantiate(parser.parse_object({"objective": guide.model["objective"]})).objective
    assert isinstance(objective, guide.component)
    assert objective.covariance_weight == 0.5
    assert guide.run_tests() == 3
