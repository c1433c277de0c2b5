"""A config may extend another."""

from __future__ import annotations

from pathlib import Path

import pytest
from lightning.pytorch import LightningDataModule, LightningModule

from avcap.config_files import extended, whole_config
from avcap.lightning_cli import AvcapParser
from tests.end_to_end.program import REPOSITORY
from tests.test_readme import ParseOnly


def parse(*configs: Path) -> dict:
    words = [word for path in configs for word in ("--config", str(path))]
    classes = {"parser_class": AvcapParser, "subclass_mode_model": True, "subclass_mode_data": True, "run": False}
    return ParseOnly(LightningModule, LightningDataModule, args=words, **classes).config.as_dict()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    path = tmp_path / "base.yaml"
    path.write_text("a: {class_path: A, init_args: {x: 1, y: 2}}\nb: [1, 2]\nc: {class_path: C, init_args: {z: 1}}\n")
    return path


def over(base: Path, text: str, name: str = "deep/over.yaml") -> Path:
    path = base.parent / name
    path.write_text(text)
    return path


def test_mappings_are_merged_and_all_else_is_replaced(base: Path) -> None:
    path = over(base, "extends: ../base.yaml\na: {init_args: {y: 3}}\nb: [3]\nc: null\n")
    assert whole_config(path) == {"a": {"class_path": "A", "init_args": {"x": 1, "y": 3}}, "b": [3], "c": None}


def test_a_part_of_another_class_loses_the_arguments_of_the_old(base: Path) -> None:
    path = over(base, "extends: ../base.yaml\na: {class_path: B}\nc: {class_path: C, init_args: {w: 2}}\n")
    read = whole_config(path)
    assert read["a"] == {"class_path": "B"}
    assert read["c"]["init_args"] == {"z": 1, "w": 2}


def test_what_is_extended_may_extend(base: Path) -> None:
    over(base, "extends: ../base.yaml\nb: [5]\n")
    last = over(base, "extends: deep/over.yaml\nd: 1\n", "last.yaml")
    assert (whole_config(last)["b"], whole_config(last)["d"]) == ([5], 1)


def test_a_config_that_extends_nothing_is_itself(base: Path) -> None:
    assert extended({"a": {"b": 1}}, base.parent) == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("extends: none.yaml\n", r"There is no config .*none\.yaml"),
        ("extends: over.yaml\n", r"over\.yaml extends itself"),
        ("extends: [a, b]\n", "`extends` must name one file, not"),
        ("- a\n", "holds no settings"),
        ("a: [\n", "is no YAML"),
    ],
)
def test_a_wrong_config_is_named(base: Path, text: str, says: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        whole_config(over(base, text))


def test_the_program_reads_what_is_extended_and_later_configs_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        f"extends: {REPOSITORY}/configs/demo/lavcap.yaml\n"
        "model: {init_args: {fusion: {class_path: TokenConcat}, decoder: {init_args: {norm: false}}}}\n"
        "data: {init_args: {batch_size: 8}}\n"
    )
    whole = parse(REPOSITORY / "configs/demo/lavcap.yaml")
    read = parse(mine)
    model, data = read["model"]["init_args"], read["data"]["init_args"]
    assert model["fusion"]["class_path"] == "avcap.TokenConcat"
    assert "epsilon" not in model["fusion"]["init_args"]
    assert model["decoder"]["init_args"]["norm"] is False
    assert model["decoder"]["init_args"]["config"] == Path("configs/llm/demo.json")
    assert model["audio_encoder"] == whole["model"]["init_args"]["audio_encoder"]
    assert (data["batch_size"], data["eval_batch_size"]) == (8, 60)
    later = tmp_path / "later.yaml"
    later.write_text("data: {init_args: {batch_size: 4}}\n")
    assert parse(mine, later)["data"]["init_args"]["batch_size"] == 4


def test_the_program_names_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    mine = over(tmp_path / "base.yaml", "extends: none.yaml\n", "mine.yaml")
    with pytest.raises(SystemExit, match="2"):
        parse(mine)
    assert f"There is no config {tmp_path / 'none.yaml'}; name an existing YAML file." in capsys.readouterr().err
