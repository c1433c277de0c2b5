"""The benchmark runs and its plans agree with POT's; speed is for `make bench` to say."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "sinkhorn.py"


def test_benchmark_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)  # it would last for all later tests
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--batch=2", "--repeats=1", "--threads=1", "--require=0"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert stopped.value.code == 0
    assert "times as fast" in capsys.readouterr().out
