"""Names of the package: a public class or function has a name of its own."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import avcap

PACKAGE = Path(avcap.__file__).parent


def test_no_public_name_stands_for_two_things():
    places = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(PACKAGE)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_names_that_are_imported_late_are_shown():
    import avcap.data
    import avcap.metrics

    assert {"MapQuality", "evaluate", "human_bound"} <= set(dir(avcap.metrics))
    assert {"AudioCapsDataModule", "SpecAugment"} <= set(dir(avcap.data))
    assert callable(avcap.metrics.evaluate)
