"""Every command in the README and the docs is one that the program takes."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule

from avcap.cli import COMMANDS, CONFIGURED, LIGHTNING, parse
from avcap.commands.check import MetaCLI
from avcap.commands.pseudo_label import LabelCLI
from avcap.lightning_cli import AvcapCLI, AvcapParser, quieten

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

OWN = "my_clips.yaml"  # a guide writes it, and tests/captions/test_contributing.py runs the commands with it


def blocks(text: str) -> str:
    """What stands between fences that name no language, or a shell."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return "\n".join(block for language, block in fences if language in ("", "bash", "sh", "console"))


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        lines = blocks(page.read_text(encoding="utf-8")).replace("\\\n", " ").splitlines()
        for line in lines:
            words = re.split(r"\s+#\s", line)[0].strip()
            if OWN in words:
                continue
            if words.startswith("avcap ") and "..." not in words and "|" not in words and "NAME" not in words:
                found.append((page.name, words))
    return found


class ParseOnly(AvcapCLI):
    """Reads a command line and the configs that it names; builds nothing."""

    def instantiate_classes(self) -> None:
        pass


class ParseCheckOnly(ParseOnly, MetaCLI):
    """The same for `avcap check`."""


class ParseLabelOnly(ParseOnly, LabelCLI):
    """The same for `avcap dali pseudo-label`."""


CONFIGURED_CLASSES = {"check": ParseCheckOnly, "dali pseudo-label": ParseLabelOnly}


def test_the_pages_show_commands():
    verbs = {words.split()[1] for _, words in commands()}
    assert {"fit", "test", "caption", "check", "data", "list", "doctor", "score"} <= verbs


def take(words: str) -> dict:
    """Parses a command line as the program would, in its root -> the settings; raises what the program would say."""
    argv = shlex.split(words)[1:]
    quieten()
    verb = next(v for v in (" ".join(argv[:2]), argv[0]) if v in {*COMMANDS, *LIGHTNING})
    if verb in {*LIGHTNING, *CONFIGURED}:
        argv = argv[len(verb.split()) - 1 :]
        names = [argv[i + 1] for i, word in enumerate(argv) if word == "--ckpt_path"]
        rest = [w for i, w in enumerate(argv[1:], 1) if w != "--ckpt_path" and argv[i - 1] != "--ckpt_path"]
        assert all(name == "last" or name.endswith(".ckpt") for name in names)
        classes = {"parser_class": AvcapParser, "subclass_mode_model": True, "subclass_mode_data": True}
        cli = CONFIGURED_CLASSES.get(verb, ParseOnly)
        return cli(LightningModule, LightningDataModule, args=rest, run=False, **classes).config.as_dict()
    module, function = COMMANDS[verb][0].split(":")
    with torch.device("meta"):  # an encoder on the command line is built, but not at full size
        return parse(getattr(importlib.import_module(module), function), argv[len(verb.split()) :], f"avcap {verb}")[1]


@pytest.mark.parametrize(("page", "words"), commands(), ids=[f"{page}: {words}" for page, words in commands()])
def test_command_is_taken(page: str, words: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    take(words)


def test_make_targets_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named
    assert named <= targets
