from __future__ import annotations

from pathlib import Path

import pytest

from avcap.atomic import write_atomically


def test_folders_are_made_and_a_file_is_replaced(tmp_path: Path):
    path = tmp_path / "deep" / "file.txt"
    write_atomically(path, "é")
    write_atomically(path, "ü")
    assert path.read_bytes() == "ü".encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "file.txt"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "half\ud800")
    assert path.read_text() == "old"
