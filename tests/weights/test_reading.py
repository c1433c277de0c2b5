"""Files of weights as bytes: their fingerprints."""

from __future__ import annotations

import hashlib
from pathlib import Path

from avcap.weights.reading import fingerprints


def test_fingerprints_are_of_the_files_and_folders_that_settings_name(tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"abc")
    (tmp_path / "one").write_bytes(b"")
    settings = {"a": [{"model": str(tmp_path / "model")}, tmp_path / "one"], "b": "sdpa", "c": "word " * 99, "d": None}
    assert fingerprints(settings) == {
        str(tmp_path / "model" / "weights"): hashlib.sha256(b"abc").hexdigest(),
        str(tmp_path / "one"): hashlib.sha256(b"").hexdigest(),
    }
