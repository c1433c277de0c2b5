"""CONTRIBUTING.md, "Add a fusion in four steps": the code there works as it stands."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from jsonargparse import ArgumentParser

import avcap.fusion
from avcap.fusion import Fusion

GUIDE = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"


@pytest.fixture
def blocks() -> dict[str, list[str]]:
    section = GUIDE.read_text(encoding="utf-8").split("## Add a fusion in four steps")[1].split("\n## ")[0]
    found: dict[str, list[str]] = {}
    for language, code in re.findall(r"```(\w+)\n(.*?)```", section, flags=re.DOTALL):
        found.setdefault(language, []).append(code)
    return found


def test_the_four_steps_work(blocks: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    write, export, check = blocks["python"]
    module = ModuleType("avcap.fusion.gated_sum")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(write, module.__dict__)
    exec(export, namespace := {})
    monkeypatch.setattr(avcap.fusion, "GatedSum", namespace["GatedSum"], raising=False)

    parser = ArgumentParser()
    parser.add_argument("--fusion", type=Callable[[int | None, int | None], Fusion])
    settings = yaml.safe_load(blocks["yaml"][0])["gated_sum"]
    config = parser.parse_object({"fusion": settings["model.init_args.fusion"]})
    fusion = parser.instantiate(config).fusion(16, 8)
    assert isinstance(fusion, namespace["GatedSum"])
    assert fusion.gate.bias.unique().tolist() == [-1.0]

    exec(check, namespace)
    tests = [value for name, value in namespace.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()
