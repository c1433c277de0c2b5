"""CONTRIBUTING.md, "Add a fusion in four steps": the code there works as it stands."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from jsonargparse import ArgumentParser

from avcap.fusion import Fusion
from tests.guide import Guide


def test_the_four_steps_work(monkeypatch: pytest.MonkeyPatch) -> None:
    guide = Guide("Add a fusion in four steps", "avcap.fusion.gated_sum", monkeypatch)
    parser = ArgumentParser()
    parser.add_argument("--fusion", type=Callable[[int | None, int | None], Fusion])
    fusion = parser.instantiate(parser.parse_object({"fusion": guide.model["fusion"]})).fusion(16, 8)
    assert isinstance(fusion, guide.component)
    assert fusion.gate.bias.unique().tolist() == [-1.0]
    assert guide.run_tests() == 3
