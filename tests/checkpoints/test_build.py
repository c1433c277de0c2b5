from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from torch import nn

from avcap.checkpoints.build import build
from avcap.decoders import Decoder
from avcap.encoders import CEDEncoder
from avcap.fusion import TimeConcat
from avcap.layers.lora import LoRA
from avcap.layers.vit import ViTSize

How = Literal["sdpa", "eager"]


class Place(nn.Module):
    """A part of a model that somebody else wrote, in a module that is imported."""

    def __init__(self, folder: Path, name: Any, adapters: list[LoRA] | None = None, how: How = "sdpa") -> None:
        super().__init__()
        self.folder, self.name, self.adapters, self.how = folder, name, adapters, how


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
    arguments = {"patch": 8}
    size = {"width": 16, "depth": 1, "heads": 2}
    made = build(
        {"class_path": "avcap.encoders.CEDEncoder", "init_args": {**arguments, "size": size, "lora": {"rank": 2}}}
    )
    assert [n for n, _ in made.named_parameters()] == [
        n for n, _ in CEDEncoder(ViTSize(**size), **arguments, lora=LoRA(rank=2)).named_parameters()
    ]


def test_a_deferred_class_waits_for_its_widths():
    assert build({"class_path": "avcap.fusion.TimeConcat"}, deferred=True)(8, 8).width == TimeConcat(8, 8).width


def test_a_class_that_is_gone_is_named():
    with pytest.raises(ValueError, match=r"There is no avcap\.fusion\.Gone"):
        build({"class_path": "avcap.fusion.Gone"})


@pytest.mark.parametrize(
    "path",
    [
        *(
            "evil.Gate",
            "evil.sub.Gate",
            "Bare",
            "antigravity.fly",
            "os.system",
            "subprocess.Popen",
            "torch.hub.load",
            "",
        ),
        *(
            "torch.jit.ScriptModule",
            "builtins.eval",
            "avcap.cli.main",
            "avcap.shards.reader.Shards",
            "avcap.fusion.base.os",
        ),
    ],
)
def test_what_is_no_part_of_a_model_or_not_imported_is_neither_imported_nor_called(path, tmp_path: Path, monkeypatch):
    (tmp_path / "evil").mkdir()
    code = f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Gate: pass\n"
    (tmp_path / "evil" / "__init__.py").write_text(code)
    (tmp_path / "evil" / "sub.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)
    with pytest.raises(ValueError, match=r"import its module yourself|is no part of a model|There is no"):
        build({"class_path": path})
    assert not {name for name in sys.modules.keys() - known if not name.startswith("avcap")}
    assert not (tmp_path / "ran").exists()


def test_a_class_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="has a TimeConcat in the place of a Decoder"):
        build({"class_path": "avcap.fusion.TimeConcat"}, kind=Decoder, deferred=True)


@pytest.mark.parametrize("wrong", [None, 3, "text", [], {}, {"class_path": 3}, {"class_path": "a.b", "init_args": []}])
def test_settings_of_another_form_are_refused(wrong):
    with pytest.raises(ValueError, match=r"damaged|not avcap's"):
        build(wrong)


def test_a_word_that_the_constructor_does_not_know_is_refused():
    with pytest.raises(ValueError, match="'kernels/evil' where only sdpa, eager can stand"):
        build(settings(folder="a", name="b", how="kernels/evil"))


def test_an_argument_that_the_class_does_not_take_is_named():
    with pytest.raises(ValueError, match=r"Place cannot be built: .*colour.*; put its settings right, or train again"):
        build(settings(folder="a", name="b", colour=1))
