"""The config of a run is written whole, or not at all."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from avcap.lightning_cli import SaveRunConfig


def test_a_write_that_is_cut_short_leaves_the_config_before(tmp_path: Path):
    (tmp_path / "config.yaml").write_text("whole: true\n")

    def cut_short(_config: object, path: str, **_: object) -> None:
        Path(path).write_text("who")
        raise KeyboardInterrupt

    callback = SaveRunConfig(SimpleNamespace(save=cut_short), SimpleNamespace())
    with pytest.raises(KeyboardInterrupt):
        callback.save_config(SimpleNamespace(default_root_dir=tmp_path), None, "fit")
    assert (tmp_path / "config.yaml").read_text() == "whole: true\n"
