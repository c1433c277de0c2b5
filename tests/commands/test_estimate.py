"""The estimate of `avcap check` against the measured peak of training steps on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.program import ENVIRONMENT, REPOSITORY

CONFIGS = sorted((Path(__file__).parent / "estimate").glob("*.yaml"))
EXACT = {"MALLOC_MMAP_THRESHOLD_": "16384", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_ARENA_MAX": "1"}  # freed is returned


@pytest.fixture(scope="module")
def found() -> dict[str, tuple[int, int]]:
    """Config -> measured and estimated bytes."""
    words = json.dumps([["--config", str(path)] for path in CONFIGS])
    done = subprocess.run(
        [sys.executable, "-m", "tests.commands.measured_step", words],
        cwd=REPOSITORY,
        env={**ENVIRONMENT, **EXACT},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    pairs = json.loads(done.stdout.splitlines()[-1])
    return {path.stem: (measured, estimated) for path, (measured, estimated) in zip(CONFIGS, pairs, strict=True)}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("config", [path.stem for path in CONFIGS])
def test_the_estimate_is_within_a_fifth_of_the_measured_peak(config, found):
    measured, estimated = found[config]
    assert measured > 400e6  # much beside what Python itself takes and frees
    assert estimated == pytest.approx(measured, rel=0.2)
