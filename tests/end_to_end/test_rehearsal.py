"""The dress rehearsal at a hundredth of the size: published names and folders, and the documented commands to a paper's table.

The commands run in this process, since each of their own would read PyTorch again.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from avcap.cli import main
from avcap.study.graph import Command, Step
from avcap.study.runner import Runner
from tests.end_to_end.program import REPOSITORY


class HereRunner(Runner):
    """Runs commands in this process."""

    def run(self, command: Command, log: Path | None = None, inherited: tuple[int, ...] = ()) -> None:
        if command[0] == "avcap":
            main(command[1:])
        else:
            subprocess.run(command, check=True)


def make_here(steps: Sequence[Step], jobs: int, **_: Any) -> bool:
    for step in steps:
        step.make(HereRunner(print))
    return True


@pytest.fixture
def rehearsal(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    monkeypatch.setattr("avcap.commands.reproduce.make_files", make_here)
    import rehearsal

    return rehearsal


@pytest.mark.slow
@pytest.mark.parametrize("system", ["avcap", "lavcap", "dali"])
def test_the_documented_commands_lead_to_the_papers_table(
    system: str, rehearsal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    captions = {}

    def here(words: list[str], folder: Path) -> tuple[None, None]:
        monkeypatch.chdir(folder)
        capsys.readouterr()
        main([*words, *(("--json", "true") if words[0] == "caption" else ())])
        if words[0] == "caption":
            captions["released" if "--config" in words else "trained"] = capsys.readouterr().out
        return None, None

    folder = tmp_path / "rehearsal"
    rows = list(rehearsal.rehearse(system, folder, small=True, runner=here))
    assert [row.name for row in rows[1:]] == [step.name for step in rehearsal.steps(system)]
    row = rehearsal.ROWS[system]
    for way in ("reproduce", "released"):
        results = json.loads((folder / f"runs/{way}/{system}/{row}/42/results.json").read_text(encoding="utf-8"))
        assert results["clips"] == 2
        assert {"bleu_4", "cider_d"} <= set(results["scores"])
        assert f"| {row} " in (folder / f"runs/{way}/{system}/table.md").read_text(encoding="utf-8")
    assert set(captions) == (set() if system == "dali" else {"trained", "released"})
    for said in captions.values():
        assert "audio" in json.loads(said.splitlines()[-1])["streams"]
