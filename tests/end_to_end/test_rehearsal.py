"""The dress rehearsal at a hundredth of the size: published names and folders, and the documented commands to a test result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avcap.cli import main
from tests.end_to_end.program import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("system", "result"), [("avcap", "avcap"), ("lavcap", "lavcap"), ("dali", "dali_paper/inference")]
)
def test_the_documented_commands_lead_to_a_test_result(
    system: str, result: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    import rehearsal

    def here(words: list[str], folder: Path) -> tuple[None, None]:
        monkeypatch.chdir(folder)
        main(words)
        return None, None

    rows = rehearsal.rehearse(system, tmp_path / "rehearsal", small=True, runner=here)
    results = json.loads((tmp_path / "rehearsal/runs" / result / "results.json").read_text(encoding="utf-8"))
    assert results["scores"]
    assert len(rehearsal.table(rows).splitlines()) == len(rows) + 2
