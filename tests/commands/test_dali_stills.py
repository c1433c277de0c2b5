"""`avcap dali stills`: what it says, what it keeps, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from avcap.cli import main
from avcap.shards.reader import Shards

SMALL = ("--count", "3", "--val", "2", "--size", "32", "--num_workers", "0")


def _stills(out: Path, *options: str) -> None:
    main(["dali", "stills", "--out", str(out), *SMALL, *options])


def _stamps(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.name != ".lock"}


def test_a_second_run_does_nothing_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    _stills(tmp_path)
    assert capsys.readouterr().out == "val: 2 images\ntrain: 3 images\n"
    before = _stamps(tmp_path)
    _stills(tmp_path)
    kept = "images, made before and kept"
    assert capsys.readouterr().out == f"val: 2 {kept}\ntrain: 3 {kept}\n"
    assert _stamps(tmp_path) == before


@pytest.mark.parametrize("other", [("--seed", "1"), ("--size", "48"), ("--val", "3")])
def test_other_stills_are_refused_then_overwrite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], other: tuple[str, str]
):
    _stills(tmp_path)
    before = _stamps(tmp_path)
    with pytest.raises(SystemExit, match="1"):
        _stills(tmp_path, *other)
    assert "/val was made from other clips, captions or settings; add --overwrite" in capsys.readouterr().err
    assert _stamps(tmp_path) == before
    old = Shards(tmp_path / "val").info
    _stills(tmp_path, *other, "--overwrite")
    assert Shards(tmp_path / "val").info != old


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--count", "0", "count and val must be at least 1"),
        ("--size", "16", "size must be at least 32"),
        ("--seed", "-1", "seed must be from 0 to 4294967295"),
        ("--num_workers", "-1", "num_workers must not be negative"),
    ],
)
def test_bad_numbers_are_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, sentence: str
):
    with pytest.raises(SystemExit, match="1"):
        _stills(tmp_path / "stills", f"{option}={value}")
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "stills").exists()
