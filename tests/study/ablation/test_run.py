"""A matrix with the real program: trained, tested, stopped in mid-training and taken up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from lightning.pytorch import LightningDataModule, LightningModule

from avcap.lightning_cli import AvcapParser
from avcap.study.ablation.cell import speed
from tests.end_to_end.program import options
from tests.study.ablation.conftest import REPOSITORY
from tests.test_readme import ParseOnly

pytestmark = pytest.mark.slow
FUSION = "model.init_args.fusion"


@pytest.fixture
def matrix(tmp_path: Path, demo_root: Path) -> list[str]:
    """The command that runs a matrix of the tiny system: one axis, two fusions and one that does not exist."""
    kinds = {"subclass_mode_model": True, "subclass_mode_data": True}
    classes = {"parser_class": AvcapParser, **kinds, "run": False}
    cli = ParseOnly(LightningModule, LightningDataModule, args=options(demo_root, tmp_path), **classes)
    (tmp_path / "base.yaml").write_text(cli.parser.dump(cli.config))
    write_table(tmp_path, demo_root, {name: {FUSION: name} for name in ("TimeConcat", "OTAttention", "NoSuchFusion")})
    return [sys.executable, "-m", "avcap", "ablation", "run", "tiny", "--table", str(tmp_path / "matrix.yaml")]


def write_table(place: Path, demo_root: Path, values: dict[str, dict]) -> None:
    data = str(demo_root / "shards" / "test" / "info.json")
    tiny = {"runs": str(place / "runs"), "data": data, "seeds": [0], "axes": ["fusion"]}
    axes = {"fusion": {"base": str(place / "base.yaml"), "values": values}}
    (place / "matrix.yaml").write_text(yaml.safe_dump({"axes": axes, "matrices": {"tiny": tiny}}))


def run(command: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *words],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def starts(folder: Path) -> list[str]:
    """Verb of each program that the log of a cell tells of."""
    lines = (folder / "log.txt").read_text().splitlines()
    return [line.split(" -m avcap ")[1].split()[0] for line in lines if line.startswith("$ ")]


def test_a_matrix_is_trained_and_tested_and_only_what_is_new_runs_again(
    matrix: list[str], tmp_path: Path, demo_root: Path
) -> None:
    done = run(matrix, "--jobs", "2")
    assert done.returncode != 0
    cells = {name: tmp_path / "runs" / "fusion" / name / "0" for name in ("TimeConcat", "OTAttention", "NoSuchFusion")}
    records = {name: json.loads((folder / ".results.json.made").read_text()) for name, folder in cells.items()}
    ended = {name: record["ended"] for name, record in records.items()}
    assert ended == {"TimeConcat": 2, "OTAttention": 2, "NoSuchFusion": 0}, done.stdout + done.stderr
    assert "NoSuchFusion" in records["NoSuchFusion"]["error"]
    assert records["NoSuchFusion"]["error"] in done.stdout
    for name in ("TimeConcat", "OTAttention"):
        results = json.loads((cells[name] / "results.json").read_text())
        assert (results["name"], results["clips"]) == (f"Captioner:{name}", 9)
        assert speed(cells[name]) > 0
        assert starts(cells[name]) == ["fit", "test"]

    changed = {"class_path": "OTAttention", "init_args": {"epsilon": 0.5}}
    write_table(tmp_path, demo_root, {"TimeConcat": {FUSION: "TimeConcat"}, "OTAttention": {FUSION: changed}})
    unchanged = (cells["TimeConcat"] / "results.json").stat().st_mtime_ns
    done = run(matrix)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (cells["TimeConcat"] / "results.json").stat().st_mtime_ns == unchanged
    config = yaml.safe_load((cells["OTAttention"] / "config.yaml").read_text())
    assert config["model"]["init_args"]["fusion"]["init_args"]["epsilon"] == 0.5


def test_a_matrix_that_is_killed_goes_on_from_the_last_checkpoint(matrix: list[str], tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    long = yaml.safe_load(base.read_text())
    long["trainer"]["max_epochs"] = 40
    base.write_text(yaml.safe_dump(long))
    cell = tmp_path / "runs" / "fusion" / "TimeConcat" / "0"
    matrix += ["--axes", "fusion/TimeConcat"]
    process = subprocess.Popen(matrix, cwd=REPOSITORY, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 240
    while not (cell / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    assert "1 stopped" in run([*matrix, "--status"]).stdout
    done = run(matrix)
    assert done.returncode == 0, done.stdout + done.stderr
    log = (cell / "log.txt").read_text()
    assert f"Restored all states from the checkpoint at {cell}/checkpoints/last.ckpt" in log
    assert starts(cell) == ["fit", "fit", "test"]
    assert done.stdout.endswith("1 done\n")
