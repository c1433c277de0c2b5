"""The configs of the papers hold the published values, and every command that they and the tables of the docs show is one."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from avcap.study.ablation.matrix import TABLE, read_matrix
from tests.end_to_end.program import REPOSITORY
from tests.test_readme import take

PROTOCOLS = yaml.safe_load((REPOSITORY / "configs" / "protocols.yaml").read_text(encoding="utf-8"))
ROWS = [
    (config, path, row)
    for system in PROTOCOLS.values()
    for config, rows in system["configs"].items()
    for path, row in rows.items()
]
PAPERS = ("avcap", "lavcap", "dali")


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)  # configs name files from there


@cache
def parsed(config: str) -> dict[str, Any]:
    return take(f"avcap fit --config {config}")


def at(settings: Any, path: str) -> Any:
    """A value of a parsed config, by its path; a number is a place in a list."""
    for name in path.split("."):
        settings = settings[int(name)] if isinstance(settings, list) else settings[name]
    return settings


def clips_a_step(settings: dict[str, Any], devices: int) -> int:
    return devices * at(settings, "data.init_args.batch_size") * at(settings, "trainer.accumulate_grad_batches")


def plain(value: Any) -> Any:
    """A class by its name, a tuple as a list, a path as a text."""
    if isinstance(value, dict) and "class_path" in value:
        return value["class_path"].rpartition(".")[2]
    return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value


@pytest.mark.parametrize(("config", "path", "row"), ROWS, ids=[f"{Path(c).stem}: {p}" for c, p, _ in ROWS])
def test_a_config_holds_the_published_value(config: str, path: str, row: dict[str, Any]):
    assert row["source"]
    settings = parsed(config)
    if path == "clips_a_step":
        assert clips_a_step(settings, row["devices"]) == row["value"]
    elif "count" in row:
        assert len(at(settings, path)) == row["count"]
    else:
        assert plain(at(settings, path)) == row["value"]


def test_every_config_of_a_paper_is_in_the_table():
    named = {Path(config) for config, _, _ in ROWS}
    folder = Path("configs/dali/paper")
    whole = {path for path in folder.glob("*.yaml") if "seed_everything" in path.read_text()}
    assert named == {Path("configs/avcap.yaml"), Path("configs/lavcap.yaml"), *whole}
    assert set(PROTOCOLS) == set(PAPERS)


def test_a_changed_value_is_found():
    _, path, row = next(row for row in ROWS if row[1] == "trainer.max_epochs")
    assert plain(at({"trainer": {"max_epochs": row["value"] + 1}}, path)) != row["value"]


def header_commands() -> list[tuple[str, str]]:
    """The commands in the comments of the configs."""
    found = []
    for path in sorted((REPOSITORY / "configs").rglob("*.yaml")):
        shown = re.findall(r"^#\s+(avcap .*?)(?:\s\s+#.*)?$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        found += [(str(path.relative_to(REPOSITORY)), words.strip()) for words in shown]
    return found


def table_commands() -> list[tuple[str, str]]:
    """The commands in the rows of tables of the papers' pages."""
    found = []
    for name in PAPERS:
        for line in (REPOSITORY / "docs" / f"{name}.md").read_text(encoding="utf-8").splitlines():
            words = re.findall(
                r"`(avcap (?:fit|test|dali pseudo-label|ablation run) [^`]*(?:configs/|--axes)[^`]*)`", line
            )
            found += [(f"{name}.md", word) for word in words if line.startswith("|")]
    return found


def different(commands: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """One of the commands that check, train or test with the same options, which are the same to the parser."""
    return list(
        {re.sub(r"^avcap (check|fit|test) +| --ckpt_path \S+", "", words): (p, words) for p, words in commands}.values()
    )


COMMANDS = different(header_commands() + table_commands())


def case(place: str, words: str) -> Any:
    """A case of a test; the commands of configs that are no paper's are tried in the long run alone."""
    of_a_paper = not place.startswith("configs/") or Path(place) in {Path(config) for config, _, _ in ROWS}
    return pytest.param(place, words, id=f"{place}: {words}", marks=() if of_a_paper else pytest.mark.slow)


@pytest.mark.parametrize(("place", "words"), [case(*command) for command in COMMANDS])
def test_a_shown_command_is_taken(place: str, words: str):
    settings = take(words)
    if words.startswith("avcap ablation run"):
        wanted = settings["axes"].split()
        assert read_matrix(settings.get("matrix", "paper"), TABLE).cells(wanted)


def test_every_paper_has_a_table_of_commands():
    assert {place for place, _ in table_commands()} == {f"{name}.md" for name in PAPERS}
