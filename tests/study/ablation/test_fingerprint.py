"""What counts for the result of a cell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from avcap.study.fingerprint import LARGE, fingerprint


@pytest.fixture
def configs(tmp_path: Path) -> list[Path]:
    (tmp_path / "shards" / "train").mkdir(parents=True)
    (tmp_path / "shards" / "train" / "info.json").write_text('{"ids": ["a"]}')
    (tmp_path / "llm.json").write_text("{}")
    (tmp_path / "base.yaml").write_text(
        f"trainer: {{max_epochs: 3, default_root_dir: runs/x}}\ndata: {{shards: {tmp_path}/shards, llm: ./llm.json}}\n"
    )
    (tmp_path / "overlay.yaml").write_text("model: {fusion: TimeConcat, heads: 2}\n")
    return [tmp_path / "base.yaml", tmp_path / "overlay.yaml"]


def changed(configs: list[Path], path: Path, text: str) -> bool:
    before = fingerprint(configs)
    path.write_text(text)
    return fingerprint(configs) != before


def test_touching_a_file_changes_nothing(configs: list[Path]) -> None:
    before = fingerprint(configs)
    for path in configs[0].parent.rglob("*.*"):
        os.utime(path, (1e9, 1e9))
    assert fingerprint(configs) == before


@pytest.mark.parametrize(
    "text",
    [
        "# said\nmodel: {fusion: TimeConcat, heads: 2}",
        "model:\n  heads: 2\n  fusion: TimeConcat\n",
        "trainer: {default_root_dir: runs/y}\nmodel: {heads: 2, fusion: TimeConcat}",
    ],
    ids=["comments", "order", "folder of the run"],
)
def test_what_has_no_effect_does_not_count(configs: list[Path], text: str) -> None:
    configs[1].write_text(
        "trainer: {}\nmodel: {fusion: TimeConcat, heads: 2}\n"
        if "trainer" in text
        else "model: {fusion: TimeConcat, heads: 2}\n"
    )
    assert not changed(configs, configs[1], text)


def test_a_setting_counts(configs: list[Path]) -> None:
    assert changed(configs, configs[1], "model: {fusion: TimeConcat, heads: 4}")


def test_the_order_of_configs_counts(configs: list[Path]) -> None:
    assert fingerprint(configs) != fingerprint(configs[::-1])


def test_files_that_a_config_names_count(configs: list[Path]) -> None:
    folder = configs[0].parent
    assert changed(configs, folder / "llm.json", '{"layers": 2}')  # named relative to the config
    assert changed(configs, folder / "shards" / "train" / "info.json", '{"ids": ["a", "b"]}')
    assert not changed(configs, folder / "shards" / "train" / "chunk.bin", "its hash is in info.json")


def test_large_files_count_by_size_and_time(configs: list[Path]) -> None:
    weights = configs[0].parent / "weights.bin"
    configs[1].write_text(f"pretrained: {weights}\n")
    with weights.open("wb") as file:
        file.truncate(LARGE + 1)
    before = fingerprint(configs)
    os.utime(weights, (1e9, 1e9))
    assert fingerprint(configs) != before


@pytest.mark.parametrize(
    ("text", "says"), [("- a\n", "holds no settings"), ("a: [", "is no YAML"), (None, "There is no config")]
)
def test_a_bad_config_is_named(configs: list[Path], text: str | None, says: str) -> None:
    configs[1].unlink() if text is None else configs[1].write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=says) as caught:
        fingerprint(configs)
    assert "overlay.yaml" in str(caught.value)
