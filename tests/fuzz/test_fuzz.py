"""Every entrance gets odd and damaged inputs: no traceback, no crash, no hang, nothing outside the folder, no wrong content.

2,000 inputs, always the same; AVCAP_FUZZ=10000 AVCAP_FUZZ_SEED=7 tries others (`make drills`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.program import ENVIRONMENT, REPOSITORY
from tests.fuzz.entrances import ENTRANCES

INPUTS = int(os.environ.get("AVCAP_FUZZ", "2000"))
SEED = int(os.environ.get("AVCAP_FUZZ_SEED", "0"))
SHARES = sum(entrance.share for entrance in ENTRANCES.values())
OF_MODELS = ["checkpoint", "part", "import", "weights", "config", "matrix", "words"]
CRASHES = 5  # of one group, after which it is given up


def tried_in(folder: Path, counts: dict[str, int], seed: int) -> tuple[list[str], dict[str, int]]:
    """Try inputs in processes of their own, a new one after each crash; what is not right, and how many were tried."""
    wrong: list[str] = []
    tried = dict.fromkeys(counts, 0)
    for start in range(CRASHES):
        left = {name: counts[name] - tried[name] for name in counts if counts[name] > tried[name]}
        if not left:
            break
        place = folder / str(start)
        words = [f"{name}={count}" for name, count in left.items()]
        ended = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.runner", str(place), str(seed + start), *words],
            cwd=REPOSITORY,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        found = place / "found.jsonl"
        if found.exists():
            rows = map(json.loads, found.read_text().splitlines())
            wrong += [
                f"{row['entrance']} ({row['times']} times): {row['wrong'][:500]} <- {row['input']}" for row in rows
            ]
        if ended.returncode == 0:
            now = json.loads((place / "tried.json").read_text())
            return wrong, {name: tried[name] + now.get(name, 0) for name in counts}
        assert (place / "current").exists(), ended.stderr[-2000:]
        header, _, content = (place / "current").read_bytes().partition(b"\n")
        last = json.loads(header)
        tried = {name: tried[name] + last["tried"].get(name, 0) for name in counts}
        wrong.append(f"{last['entrance']}: the process ended with status {ended.returncode} <- {content[:400]!r}")
    return wrong, tried


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [[name for name in ENTRANCES if name not in OF_MODELS], OF_MODELS], ids=["data", "models"]
)
def test_every_input_gives_its_content_or_a_sentence_that_names_it(names: list[str], tmp_path: Path):
    counts = {name: round(INPUTS * ENTRANCES[name].share / SHARES) for name in names}
    wrong, tried = tried_in(tmp_path, counts, SEED)
    assert not wrong, f"seed {SEED}:\n" + "\n".join(wrong)
    assert tried == counts
