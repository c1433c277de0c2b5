from __future__ import annotations

from pathlib import Path

import pytest

from avcap.checkpoints.build import build
from avcap.encoders import CEDEncoder
from avcap.fusion import TimeConcat
from avcap.layers.lora import LoRA


class Place:
    def __init__(self, folder: Path, name: str | Path, adapters: list[LoRA] | None = None) -> None:
        self.folder, self.name, self.adapters = folder, name, adapters


def settings(**arguments) -> dict:
    return {"class_path": f"{__name__}.Place", "init_args": arguments}


def test_paths_records_and_lists_of_records_follow_the_annotations():
    made = build(settings(folder="a/b", name="a/b", adapters=[{"rank": 4}]))
    assert made.folder == Path("a/b")
    assert made.name == "a/b"
    assert isinstance(made.adapters[0], LoRA)
    assert made.adapters[0].rank == 4


def test_an_object_in_an_argument_is_built_first():
    made = build(settings(folder="a", name=settings(folder="b", name="c")))
    assert isinstance(made.name, Place)
    assert made.name.folder == Path("b")


def test_an_encoder_is_what_its_constructor_makes_of_the_same_arguments():
    arguments = {"size": None, "width": 16, "depth": 1, "heads": 2, "target_length": 64}
    made = build({"class_path": "avcap.encoders.CEDEncoder", "init_args": {**arguments, "lora": {"rank": 2}}})
    assert [n for n, _ in made.named_parameters()] == [
        n for n, _ in CEDEncoder(**arguments, lora=LoRA(rank=2)).named_parameters()
    ]


def test_a_deferred_class_waits_for_its_widths():
    assert build({"class_path": "avcap.fusion.TimeConcat"}, deferred=True)(8, 8).width == TimeConcat(8, 8).width


@pytest.mark.parametrize("path", ["avcap.fusion.Gone", "no_such_package.Thing", "Bare"])
def test_a_class_that_is_gone_is_named(path):
    with pytest.raises(ValueError, match=f"There is no {path}"):
        build({"class_path": path})


def test_an_argument_that_the_class_does_not_take_is_named():
    with pytest.raises(ValueError, match=r"Place cannot be built: .*colour.*; train again"):
        build(settings(folder="a", name="b", colour=1))
