"""The benchmark of the alignment objectives runs and its values agree; speed is for `make bench` to say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "alignment.py"


@pytest.mark.slow  # seven processes that import torch
def test_benchmark_runs_and_its_values_agree() -> None:
    command = [sys.executable, str(SCRIPT), "--clips=2", "--tokens=24", "--width=32", "--repeats=1", "--json"]
    done = subprocess.run(
        [*command, "--device=cpu", "--require-transport=0", "--require-mmd=0"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    exact, ours = (figures["transport"][way]["values"] for way in ("official, exact", "ours, exact"))
    assert ours == pytest.approx(exact, rel=1e-5)
    assert figures["mmd"]["ours"]["values"] == pytest.approx(figures["mmd"]["official"]["values"], abs=1e-5)
