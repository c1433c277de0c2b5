"""Every verb with files that are damaged, foreign or hostile: one sentence that names the file, and nothing is run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from avcap.cli import main
from tests.end_to_end.program import options

CODE = "open({place!r}, 'w')\nfrom avcap.fusion import OTAttention\nclass Hostile(OTAttention): pass\n"


class Place(NamedTuple):
    """A run and its data, which a test may damage."""

    run: Path
    data: Path

    @property
    def checkpoint(self) -> Path:
        return self.run / "checkpoints" / "last.ckpt"

    def words(self, verb: str) -> list[str]:
        """A command line that works as long as nothing is damaged."""
        checkpoint, out = str(self.checkpoint), str(self.run / "out.safetensors")
        measured = ["--ckpt_path", checkpoint, "--limit", "2", "--num_workers", "0"]
        more = ("--trainer.logger", "false", "--data.num_workers", "0", "--ckpt_path", checkpoint)
        trained = options(self.data, self.run / "again", *more)
        events = str(self.data / "events.jsonl")
        return {
            "summary": ["summary", str(self.run)],
            "compare": ["compare", str(self.run), "--events", events],
            "report": ["report", str(self.run), "--out", str(self.run / "report")],
            "score": ["score", str(self.run / "predictions.jsonl"), str(self.data / "test.csv")],
            "check": ["check", "--config", str(self.run / "config.yaml")],
            "caption": ["caption", str(next((self.data / "videos").rglob("*.mp4"))), "--ckpt_path", checkpoint],
            "maps": ["maps", *measured],
            "robustness": ["robustness", *measured],
            "weights part": ["weights", "part", checkpoint, "decoder.norm", out],
            "weights import": ["weights", "import", checkpoint, out],
            "weights export": ["weights", "export", checkpoint, out, "--format", "git"],
            "dali captioner": ["dali", "captioner", checkpoint, str(self.run / "llava")],
            "dali calibrate": ["dali", "calibrate", checkpoint, out],
            "dali probe": ["dali", "probe", checkpoint],
            **{verb: [verb, *trained] for verb in ("fit", "validate", "test", "predict")},
        }[verb]


@pytest.fixture
def place(demo_root: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr("logging.raiseExceptions", False)  # Lightning logs to the stream of the test that came first
    return Place(shutil.copytree(tiny_run, tmp_path / "run"), demo_root)


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence with which the program ends."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code in (1, 2)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    (line,) = [line for line in error.splitlines() if line.startswith("avcap: error: ")]
    return line


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def other_types(path: Path) -> None:
    """Every field of another type."""
    if path.suffix == ".yaml":
        path.write_text("data: 3\nmodel: [3]\n")
        return
    rows = [json.loads(line) for line in ([path.read_text()] if path.suffix == ".json" else path.open())]
    for row in rows:
        row.update({key: 3 if isinstance(value, str | dict) else "x" for key, value in row.items()})
    path.write_text("\n".join(map(json.dumps, rows)))


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 3]),
    "object": lambda path: path.write_text("{}"),
    "list": lambda path: path.write_text("[]"),
    "null": lambda path: path.write_text("null"),
    "number": lambda path: path.write_text("3"),
    "text": lambda path: path.write_text("hello: ["),
    "latin-1": lambda path: path.write_bytes("naïveté \x81".encode("latin-1") + path.read_bytes()),
    "zeros": lambda path: path.write_bytes(bytes(200)),
    "depth": lambda path: path.write_text("[" * 20_000),
    "types": other_types,
    "folder": folder_instead,
}
TEXTS = {
    "results.json": ("summary", "compare"),
    "predictions.jsonl": ("summary", "compare", "score"),
    "config.yaml": ("check", "maps", "report"),
}
HARMLESS = {  # the file is not needed, or may be empty
    *((name, "summary", "missing") for name in ("results.json", "predictions.jsonl")),
    *(("predictions.jsonl", "summary", "empty"), ("predictions.jsonl", "compare", "missing")),
    *(("predictions.jsonl", "score", "empty"), ("config.yaml", "check", "object"), ("config.yaml", "check", "types")),
    *(("config.yaml", "report", damage) for damage in ("missing", "object", "types")),
    *(("config.yaml", verb, "half") for verb in ("check", "maps", "report")),  # it is YAML all the same
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(("name", "verb"), [(name, verb) for name, verbs in TEXTS.items() for verb in verbs])
def test_a_damaged_file_of_a_run_is_named(name, verb, damage, place: Place, capsys):
    if (name, verb, damage) in HARMLESS:
        return
    DAMAGE[damage](place.run / name)
    assert name in refused(place.words(verb), capsys)


class Code:
    """What runs when it is unpickled by a reader that trusts it."""

    def __reduce__(self) -> tuple:
        return os.mkdir, (os.environ["PLACE_OF_CODE"],)


def of_class(path: str) -> Callable[[dict], object]:
    return lambda content: content["hyper_parameters"]["fusion"].update(class_path=path)


HOSTILE: dict[str, Callable[[dict], object]] = {
    "pickle": lambda content: content.update(more=Code()),
    "module": of_class("hostile_module.Hostile"),
    "function": of_class("os.mkdir"),
    "verb": of_class("avcap.commands.demo_data.demo"),
    "no weights": lambda content: content["state_dict"].clear(),
    "other weights": lambda content: content.update(state_dict={k: torch.ones(1) for k in content["state_dict"]}),
    "file elsewhere": lambda content: content.update(avcap_files={"a": {"../../elsewhere": b"x"}}),
    "no settings": lambda content: content.update(hyper_parameters={}),
    "wrong settings": lambda content: content["hyper_parameters"].update(
        audio_encoder=3, decoder=None, visual_encoder=[1]
    ),
    "huge": lambda content: content["hyper_parameters"]["audio_encoder"]["init_args"].update(
        size={"width": 10**7, "depth": 1, "heads": 1}
    ),
}
OPENING = ("caption", "maps", "robustness", "dali captioner", "dali calibrate", "dali probe")  # build what it describes
TAKING = ("weights part", "weights import", "weights export")  # read its weights alone
TRAINING = ("fit", "validate", "test", "predict")  # build what the config describes


@pytest.fixture
def hostile(place: Place, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Path]]:
    """Puts a hostile checkpoint in place of the good one, beside a module; returns what lay in the folder before."""
    monkeypatch.chdir(place.checkpoint.parent)
    monkeypatch.syspath_prepend(str(place.checkpoint.parent))
    monkeypatch.setenv("PLACE_OF_CODE", str(place.run / "ran"))
    (place.checkpoint.parent / "hostile_module.py").write_text(CODE.format(place=str(place.run / "ran")))

    def change(kind: str) -> list[Path]:
        content = torch.load(place.checkpoint, weights_only=True)
        HOSTILE[kind](content)
        torch.save(content, place.checkpoint)
        return sorted(place.run.parent.rglob("*"))

    return change


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("verb", [*OPENING, *TAKING])
def test_a_hostile_checkpoint_is_refused_and_nothing_of_it_is_run_or_written(verb, kind, place, hostile, capsys):
    before = hostile(kind)
    if verb in OPENING or kind == "pickle":
        assert "last.ckpt" in refused(place.words(verb), capsys)
    else:
        with contextlib.suppress(SystemExit):  # its weights may be taken or refused
            main(place.words(verb))
    assert "hostile_module" not in sys.modules
    made = set(place.run.parent.rglob("*")) - set(before)
    assert {path.name for path in made} <= {"out.safetensors"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pickle", "no weights"])
@pytest.mark.parametrize("verb", TRAINING)
def test_a_hostile_checkpoint_is_refused_in_training_too(verb, kind, place, hostile, capsys):
    hostile(kind)
    assert "last.ckpt" in refused(place.words(verb), capsys)
    assert not (place.run / "ran").exists()


@pytest.mark.parametrize("verb", ["caption", "weights part"])
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "text", "folder"])
def test_a_damaged_checkpoint_is_named(verb, damage, place: Place, capsys):
    words = place.words(verb)
    DAMAGE[damage](place.checkpoint)
    assert "last.ckpt" in refused(words, capsys)


def test_a_component_of_somebody_else_works_where_its_module_is_named(place: Place, monkeypatch, capsys):
    monkeypatch.setattr("sys.path", [*sys.path])
    module = place.run / "own_component.py"
    module.write_text(CODE.format(place=str(place.run / "ran")))
    content = torch.load(place.checkpoint, weights_only=True)
    of_class("own_component.Hostile")(content)
    torch.save(content, place.checkpoint)
    words = place.words("caption")
    assert "`--import own_component`" in refused(words, capsys)
    main([*words, "--import", str(module)])
    assert capsys.readouterr().out.strip()
