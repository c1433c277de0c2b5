"""The commands of dali.mk, as Make plans them for an empty folder."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from tests.study.ablation.conftest import REPOSITORY, dry_run
from tests.test_readme import take


def planned(place: Path, *words: str) -> list[str]:
    """The command lines, in their order; one at a time."""
    (place / "venv").mkdir(exist_ok=True)
    (place / "venv" / ".installed").touch()
    places = (f"VENV={place}/venv", f"DALI={place}/dali", f"DEMO_DATA={place}/demo")
    return dry_run("dali-cells", "AVCAP=avcap", *places, *words).splitlines()


def test_every_command_is_taken_and_reads_what_was_made_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(REPOSITORY)
    made: set[str] = set()
    lines = [
        line for line in planned(tmp_path, "OBJECTIVES=none mmd", "DALI_SEEDS=7") if line.startswith(("avcap", "cp"))
    ]
    for line in lines:
        words = shlex.split(line)
        if words[0] == "avcap":
            take(line)
        files = [(option, word) for option, word in pairwise(words) if re.search(r"dali/.*(safetensors|jsonl)$", word)]
        read = {word for option, word in files if option.startswith(("--model", "--data"))}
        assert read <= made, line
        made.update(word for _, word in files)
    tests = [line for line in lines if line.startswith("avcap test")]
    assert len(tests) == 1 + 2 * 2 * 5  # the picture; objectives, tokens, and what is given before and after stage 2


def test_seeds_objectives_and_tokens_are_chosen(tmp_path: Path):
    lines = planned(tmp_path, "OBJECTIVES=ot", "DALI_SEEDS=3 4", "TOKENS=calibrated")
    folders = [line.split()[-1] for line in lines if line.startswith("avcap test")]
    cells = {"before_calibrated/ot_audio", "before_calibrated/ot_both", "before_calibrated/ot_shuffled"}
    cells |= {"after_calibrated/ot_audio", "after_calibrated/ot_both"}
    expected = {f"{tmp_path}/dali/results/{cell}/{seed}" for cell in cells for seed in (3, 4)}
    assert set(folders) == expected | {f"{tmp_path}/dali/results/controls/image/0"}
    links = [line.split()[-1] for line in lines if line.startswith("ln ")]
    assert links == [f"{tmp_path}/dali/results/before_calibrated/ot_audio/{seed}/figures" for seed in (3, 4)]


def test_what_seeds_do_not_change_is_tested_once(tmp_path: Path):
    lines = planned(tmp_path, "OBJECTIVES=none ot", "DALI_SEEDS=3 4", "TOKENS=calibrated")
    folders = [line.split()[-1] for line in lines if line.startswith("avcap test")]

    def seeds(cell: str) -> list[int]:
        return [seed for seed in (3, 4) if f"{tmp_path}/dali/results/{cell}/{seed}" in folders]

    assert seeds("before_calibrated/none_audio") == seeds("before_calibrated/none_shuffled") == [3]
    assert seeds("after_calibrated/none_audio") == seeds("before_calibrated/ot_audio") == [3, 4]


def test_every_objective_of_the_table_has_a_config(tmp_path: Path):
    fits = [line for line in planned(tmp_path, "DALI_SEEDS=0") if "configs/dali/objective/" in line]
    named = [re.search(r"configs/dali/objective/\w+\.yaml", line)[0] for line in fits]
    assert sorted(named) == sorted(str(path) for path in Path("configs/dali/objective").glob("*.yaml"))
    assert len(set(named)) == len(named) == 4
