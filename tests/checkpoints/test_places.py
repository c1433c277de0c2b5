"""Files that settings name are found in a folder of weights, or from the folder of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from avcap.checkpoints.places import placed, roots_of


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    for name in ("project/models/llm", "project/gpt2", "weights/vit", "weights/bert-base-uncased"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "project" / "models" / "ced.safetensors").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("models/ced.safetensors", "project/models/ced.safetensors"),
        ("models/llm", "project/models/llm"),
        ("openai/vit", "weights/vit"),
        ("bert-base-uncased", "weights/bert-base-uncased"),
        ("gpt2", None),  # a published name is no folder that happens to be there
        ("openai/other", None),
        ("/models/ced.safetensors", None),
    ],
)
def test_the_first_place_that_has_it_is_named(disk: Path, given: str, found: str | None):
    roots = roots_of(disk / "project" / "runs" / "x" / "checkpoints" / "best.ckpt")
    settings = {"a": {"init_args": {"pretrained": given, "prompt": given}}, "b": [{"model": Path(given)}], "c": None}
    expected = given if found is None else str(disk / found)
    made = placed(settings, roots, own=disk / "weights")
    assert made == {
        "a": {"init_args": {"pretrained": expected, "prompt": given}},
        "b": [{"model": Path(expected)}],
        "c": None,
    }


def test_a_folder_of_weights_that_is_not_there_is_told(disk: Path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*typo; --weights_root must name one\."):
        placed({}, [], own=disk / "typo")


def test_the_folder_of_weights_goes_before_that_of_the_run(disk: Path):
    (disk / "weights" / "ced.safetensors").touch()
    roots = roots_of(disk / "project" / "runs" / "x" / "checkpoints" / "best.ckpt")
    settings = {"pretrained": "models/ced.safetensors"}
    assert placed(settings, roots)["pretrained"] == str(disk / "project/models/ced.safetensors")
    assert placed(settings, roots, own=disk / "weights")["pretrained"] == str(disk / "weights/ced.safetensors")
