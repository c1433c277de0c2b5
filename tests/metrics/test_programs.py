"""The Java programs: what happens where one fails. What they answer is held by the scores on AudioCaps."""

from __future__ import annotations

from pathlib import Path

import pytest

from avcap.metrics.meteor import meteor
from avcap.metrics.ptb import ptb_split


@pytest.fixture
def program(tmp_path: Path):
    """Makes a program ``java`` of a shell script."""

    def make(script: str) -> Path:
        path = tmp_path / "java"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return make


def test_meteor_asks_for_statistics_and_then_for_scores(program):
    java = program('read a; echo "12 $a"; read b; echo "7"; read c; echo "0.25\n0.5\n0.375"; echo "$c" >&2')
    assert meteor(["x y", "z"], [["r s"], ["t", "u"]], java=java, jar=Path("m.jar")) == (0.375, [0.25, 0.5])


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'Could not find jar' >&2; exit 1", "Could not find jar"),
        (
            "read a; echo 1; read b; echo what >&2; echo one; echo two",
            r"could not convert string to float: 'one'\): what",
        ),
    ],
    ids=["stops", "no number"],
)
def test_meteor_that_fails_is_named(program, script, message):
    with pytest.raises(ValueError, match=f"METEOR failed .*{message}"):
        meteor(["x"], [["r"]], java=program(script), jar=Path("m.jar"))


def test_ptb_drops_punctuation(program):
    assert ptb_split(["A dog, barks."], java=program("cat >/dev/null; echo 'a dog , barks .'"), jar=Path("p.jar")) == [
        "a dog barks"
    ]
    assert ptb_split([], java=Path("/none"), jar=Path("/none")) == []


def test_ptb_that_fails_is_named(program):
    with pytest.raises(ValueError, match="gave 1 lines for 2 captions: no memory"):
        ptb_split(["a", "b"], java=program("cat >/dev/null; echo 'no memory' >&2; exit 1"), jar=Path("p.jar"))
