"""Short drills of the real commands; `make drills` has the long ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from avcap.cli import main
from avcap.drill.drills import DRILLS


@pytest.mark.slow
@pytest.mark.parametrize("name", DRILLS)
def test_nothing_is_lost_by_kills(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(["drill", name, "--kills", "2", "--seed", "3", "--folder", str(tmp_path)])
    said = capsys.readouterr().out
    assert "stopped          2 " in said
    assert "left alive       0 processes" in said
    assert "Nothing was lost" in said


def test_a_folder_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "mine").touch()
    with pytest.raises(SystemExit) as stop:
        main(["drill", "prepare", "--folder", str(tmp_path)])
    assert stop.value.code == 1
    assert f"{tmp_path} is not an empty folder" in capsys.readouterr().err
    assert (tmp_path / "mine").exists()
