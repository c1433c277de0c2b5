"""The stages of DALI, as they are planned for an empty folder."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from avcap.commands.study import dali
from avcap.study.dali import CONFIGS, OBJECTIVES, Stages
from avcap.study.graph import Step
from tests.study.ablation.conftest import REPOSITORY
from tests.test_readme import take


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)  # configs are named from there


def stages(place: Path, **chosen) -> Stages:
    return Stages(out=place / "dali", data=place / "demo", **chosen)


def results(steps: list[Step], place: Path) -> list[str]:
    """``<axis>/<variant>/<seed>`` of what is tested, in order."""
    folders = [step.makes.parent for step in steps if step.makes.name == "results.json"]
    return [str(folder.relative_to(place / "dali" / "results")) for folder in folders]


def texts(value: object) -> Iterator[str]:
    """All texts and paths in settings."""
    if isinstance(value, dict):
        value = [part for key, part in value.items() if key not in ("default_root_dir", "out", "config")]
    if isinstance(value, list):
        for part in value:
            yield from texts(part)
    elif isinstance(value, str | Path):
        yield str(value)


def test_every_command_is_taken_and_reads_what_was_made_before():
    """By its configs as well as by its words; a run may read what its own step has trained."""
    before: dict[Path, set[Path]] = {}  # file -> all that it is made from, at any remove
    for step in Stages(["none", "mmd"], [7]).steps():
        before[step.makes] = set(step.needs).union(*(before[need] for need in step.needs))
        there = {str(path) for need in before[step.makes] for path in (need, need.parent)}
        for words in step.commands:
            if words[0] == "avcap":
                read = {text for text in texts(take(shlex.join(words))) if text.startswith("runs/dali/")}
                assert read <= there | {text for text in read if "/checkpoints/" in text}, words
    assert (
        sum(file.name == "results.json" for file in before) == 1 + 2 * 2 * 5
    )  # the picture; objectives, tokens, tests


def test_rows_come_one_after_another(tmp_path: Path):
    """All stages and tests of one objective and seed are wanted before those of the next; all objectives of a seed before the next seed."""
    steps = stages(tmp_path, objectives=["contrastive", "ot"], seeds=[3, 4], tokens=["calibrated"]).steps()
    rows = [found[1] for step in steps if (found := re.search(r"dali/(\w+/\d)/", str(step.makes)))]
    assert list(dict.fromkeys(rows)) == ["contrastive/3", "ot/3", "contrastive/4", "ot/4"]
    assert rows == sorted(rows, key=["contrastive/3", "ot/3", "contrastive/4", "ot/4"].index)
    tested = [re.sub(r"\w+/(\w+)_\w+/(\d)", r"\1/\2", name) for name in results(steps, tmp_path)[1:]]
    assert list(dict.fromkeys(tested)) == ["contrastive/3", "ot/3", "contrastive/4", "ot/4"]


def test_seeds_objectives_and_tokens_are_chosen(tmp_path: Path):
    steps = stages(tmp_path, objectives=["ot"], seeds=[3, 4], tokens=["calibrated"]).steps()
    cells = {"before_calibrated/ot_audio", "before_calibrated/ot_both", "before_calibrated/ot_shuffled"}
    cells |= {"after_calibrated/ot_audio", "after_calibrated/ot_both"}
    assert set(results(steps, tmp_path)) == {f"{cell}/{seed}" for cell in cells for seed in (3, 4)} | {
        "controls/image/0"
    }
    links = [words for step in steps for words in step.commands if words[0] == "ln"]
    for seed, (*_, target, link) in zip((3, 4), links, strict=True):
        assert link == f"{tmp_path}/dali/results/before_calibrated/ot_audio/{seed}/figures"
        assert (Path(link).parent / target).resolve() == tmp_path / "dali" / "ot" / str(seed) / "alignment" / "figures"


def test_what_seeds_do_not_change_is_tested_once(tmp_path: Path):
    steps = stages(tmp_path, objectives=["none", "ot"], seeds=[3, 4], tokens=["calibrated"]).steps()
    found = results(steps, tmp_path)

    def seeds(cell: str) -> list[int]:
        return [seed for seed in (3, 4) if f"{cell}/{seed}" in found]

    assert seeds("before_calibrated/none_audio") == seeds("before_calibrated/none_shuffled") == [3]
    assert seeds("after_calibrated/none_audio") == seeds("before_calibrated/ot_audio") == [3, 4]


def test_every_objective_is_a_row():
    assert sorted(OBJECTIVES) == sorted(["none", *(path.stem for path in (CONFIGS / "objective").glob("*.yaml"))])


@pytest.mark.parametrize("chosen", [{"objectives": "sinkhorn"}, {"tokens": "raw"}, {"objectives": ""}])
def test_an_unknown_objective_or_kind_of_tokens_is_told(chosen: dict[str, str]):
    with pytest.raises(ValueError, match="names no objectives or tokens; choose of"):
        dali(**chosen, dry_run=True)


def test_data_that_are_not_there_are_told(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="`make demo-dali` makes it"):
        dali(data=tmp_path)


def test_the_commands_of_what_is_left_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture):
    options = {"objectives": "ot", "seeds": "0", "tokens": "calibrated", "out": tmp_path / "dali", "data": tmp_path}
    dali(**options, dry_run=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"avcap dali texts --out {tmp_path}/texts.jsonl"
    (tmp_path / "texts.jsonl").touch()
    dali(**options, dry_run=True)
    assert capsys.readouterr().out.splitlines() == lines[1:]
