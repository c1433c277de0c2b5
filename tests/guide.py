"""The guides of CONTRIBUTING.md, whose code is run as it stands."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

GUIDE = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"


def blocks_of(title: str) -> list[tuple[str, str]]:
    """Language (empty for commands) and code of each fence in the section of a heading."""
    section = GUIDE.read_text(encoding="utf-8").split(f"## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"^```(\w*)\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)


class Guide:
    """The code of a section: the module of step 1, the export of step 2, the config of step 3, the tests of step 4.

    Args:
        title: The heading.
        module: Full name of the module that step 1 writes.
        monkeypatch: Takes the module out again.
    """

    def __init__(self, title: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
        blocks = blocks_of(title)
        write, export, self.check = (code for language, code in blocks if language == "python")
        (config,) = (code for language, code in blocks if language == "yaml")
        settings = yaml.safe_load(config)
        if "model" not in settings:  # a value of the ablation matrix: path of a setting -> what it becomes
            (value,) = settings.values()
            settings = {"model": {"init_args": {path.removeprefix("model.init_args."): v for path, v in value.items()}}}
        self.model: dict[str, Any] = settings["model"]["init_args"]
        made = ModuleType(module)
        monkeypatch.setitem(sys.modules, module, made)
        exec(write, made.__dict__)
        self.namespace: dict[str, Any] = {}
        exec(export, self.namespace)
        package = sys.modules[module.rpartition(".")[0]]
        (self.name,) = (name for name, value in self.namespace.items() if isinstance(value, type))
        self.component: type = self.namespace[self.name]
        monkeypatch.setattr(package, self.name, self.component, raising=False)

    def run_tests(self) -> int:
        """Run the tests of step 4, and count them."""
        exec(self.check, self.namespace)
        tests = [value for name, value in self.namespace.items() if name.startswith("test_")]
        for test in tests:
            test()
        return len(tests)
