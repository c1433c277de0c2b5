"""Short drills of the real commands; `make drills` has the long ones."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from avcap.cli import main
from avcap.drill.drills import DRILLS
from avcap.drill.steps import LogSteps


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prepare", "train"])
def test_nothing_is_lost_by_kills(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(["drill", name, "--kills", "2", "--seed", "3", "--folder", str(tmp_path)])
    said = capsys.readouterr().out
    assert "stopped          2 " in said
    assert "left alive       0 processes" in said
    assert "Nothing was lost" in said


def test_the_places_of_two_processes_are_counted_in_the_record_of_the_first(tmp_path: Path):
    """`avcap drill resume` stops where a further line of a kind is written."""
    seen = DRILLS["resume"](tmp_path / "drill").seen
    assert (seen("training", tmp_path), seen("validation", tmp_path)) == (0, 0)
    for kind in ("train", "val", "scores", "train"):
        LogSteps(tmp_path / "steps")._append(
            SimpleNamespace(current_epoch=0, global_step=1, global_rank=0), kind=kind, id=None
        )
    assert (seen("training", tmp_path), seen("validation", tmp_path)) == (2, 1)


def test_a_folder_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "mine").touch()
    with pytest.raises(SystemExit) as stop:
        main(["drill", "prepare", "--folder", str(tmp_path)])
    assert stop.value.code == 1
    assert f"{tmp_path} is not an empty folder" in capsys.readouterr().err
    assert (tmp_path / "mine").exists()
