"""The Make graph: which cells there are, and which of them a second `make` runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from avcap.study.ablation import read_status
from avcap.study.ablation.status import look_up
from tests.study.ablation.conftest import REPOSITORY, make_command, verbs, without_make, write_overlay

Make = Callable[..., subprocess.CompletedProcess[str]]
CELLS = ["fusion/cross/0", "fusion/cross/1", "fusion/time/0", "fusion/time/1"]
ALL_RUN = {name: ["fit", "test"] for name in CELLS}


def listed(said: str) -> list[str]:
    """The cells that `make -n` would run."""
    return sorted(re.findall(r"ablation cell \S+ \S+ \S*/runs/(\S+) ", said))


def ran(place: Path) -> dict[str, list[str]]:
    return {name: verbs(place / "runs" / name) for name in CELLS}


def test_every_overlay_is_a_cell_of_every_seed(make: Make) -> None:
    assert listed(make("-n", "ablation").stdout) == CELLS
    assert listed(make("-n", "ablation", "SEEDS=1").stdout) == ["fusion/cross/1", "fusion/time/1"]


def test_a_cell_is_run_for_its_link(make: Make, place: Path) -> None:
    assert listed(make("-n", "ablation-ot").stdout) == ["fusion/time/0", "fusion/time/1"]
    done = make("ablation-ot", "SEEDS=0")
    assert done.returncode == 0, done.stdout + done.stderr
    link = place / "runs" / "ot" / "off" / "0"
    assert link.resolve() == (place / "runs" / "fusion" / "time" / "0").resolve()
    assert (link / "results.json").is_file()
    assert listed(make("-n", "ablation-ot", "SEEDS=0").stdout) == []


def test_a_cell_in_the_place_of_a_link_is_told(make: Make, place: Path) -> None:
    (place / "runs" / "ot" / "off" / "0").mkdir(parents=True)
    done = make("cells", "AXES=ot", "SEEDS=0")
    assert done.returncode != 0
    assert "ot/off/0 is no link to fusion/time; delete it." in done.stderr


def test_an_axis_may_be_made_by_a_chain_of_its_own(make: Make, place: Path) -> None:
    with (place / "ablation" / "tiny.mk").open("a") as table:
        table.write(f"base_objective := {place}/base.yaml\nfolder_objective := {place}/elsewhere\n")
        table.write(
            'chain_objective = mkdir -p $(3) && echo \'{"scores": {}, "is": "$(1) $(2)"}\' >$(3)/results.json\n'
        )
    (place / "elsewhere").mkdir()
    (place / "elsewhere" / "mmd.yaml").touch()
    done = make("ablation-objective")
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"mmd 1"' in (place / "runs" / "objective" / "mmd" / "1" / "results.json").read_text()
    assert done.stdout.rstrip().endswith("2 done")
    assert make("-n", "cells", "AXES=objective").stdout.count("mkdir") == 0


@pytest.mark.parametrize(
    ("words", "says"), [(["ablation-colour"], "no base for the axis colour"), (["ablation", "MATRIX=none"], "none.mk")]
)
def test_an_unknown_axis_or_matrix_is_told(make: Make, words: list[str], says: str) -> None:
    done = make(*words)
    assert done.returncode != 0
    assert says in done.stderr


def test_only_what_has_changed_runs_again(make: Make, place: Path) -> None:
    assert make("-j4", "ablation").returncode == 0
    assert ran(place) == ALL_RUN
    assert listed(make("-n", "ablation").stdout) == []

    for path in place.rglob("*.yaml"):  # touched: Make asks for all cells, none is run, and then Make is content
        os.utime(path, (time.time() + 1, time.time() + 1))
    time.sleep(1.1)
    assert listed(make("-n", "ablation").stdout) == CELLS
    assert make("-j4", "ablation").returncode == 0
    assert ran(place) == ALL_RUN
    assert listed(make("-n", "ablation").stdout) == []

    write_overlay(place, "fusion/cross", "other")
    said = make("-j4", "ablation")
    assert said.returncode == 0
    assert (place / "runs" / "fusion" / "cross" / "0" / "results.json").read_text().count("other") == 1
    assert (place / "runs" / "fusion" / "time" / "0" / "results.json").read_text().count("other") == 0
    assert ran(place) == ALL_RUN  # of the new cells: the old ones are deleted


def test_other_data_make_everything_anew(make: Make, place: Path) -> None:
    assert make("ablation", "SEEDS=0").returncode == 0
    before = read_status(place / "runs" / "fusion" / "time" / "0")
    (place / "data" / "info.json").write_text('{"ids": ["one more"]}')
    assert listed(make("-n", "ablation", "SEEDS=0").stdout) == ["fusion/cross/0", "fusion/time/0"]
    assert make("ablation", "SEEDS=0").returncode == 0
    after = read_status(place / "runs" / "fusion" / "time" / "0")
    assert after.state == "done"
    assert after.fingerprint != before.fingerprint


def test_a_failed_cell_stops_no_other_and_is_told_at_the_end(make: Make, place: Path) -> None:
    write_overlay(place, "fusion/cross", "fail: fit")
    done = make("ablation")
    assert done.returncode != 0
    assert ran(place) == {name: ["fit"] if "cross" in name else ["fit", "test"] for name in CELLS}
    assert f"{place}/runs/fusion/cross/1 failed: avcap: error: fit went wrong" in done.stdout
    assert done.stdout.rstrip().endswith("4 done, 2 failed")  # two cells and the two links to them
    write_overlay(place, "fusion/cross", "put right")
    assert make("ablation").returncode == 0
    assert ran(place) == ALL_RUN


def test_a_stopped_matrix_goes_on(make: Make, place: Path) -> None:
    write_overlay(place, "fusion/time", "wait: go")
    waiting = place / "runs" / "fusion" / "time" / "0"
    process = subprocess.Popen(
        make_command(place, "-j2", "ablation", "SEEDS=0"), cwd=REPOSITORY, env=without_make(), stdout=subprocess.DEVNULL
    )
    other = place / "runs" / "fusion" / "cross" / "0"
    deadline = time.monotonic() + 60
    while not (verbs(waiting) and look_up(other).state == "done"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) != 0
    deadline = time.monotonic() + 30
    while read_status(waiting).state == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert read_status(waiting).state == "stopped"
    (waiting / "go").touch()
    assert make("ablation", "SEEDS=0").returncode == 0
    assert verbs(waiting) == ["fit", "fit", "test"]
    assert verbs(other) == ["fit", "test"]


def test_shards_that_are_not_there_are_told(place: Path) -> None:
    words = [word for word in make_command(place, "ablation") if not word.startswith(("MATRIX", "ABLATION"))]
    if (REPOSITORY / "data" / "audiocaps").exists():
        pytest.skip("there is AudioCaps data here")
    done = subprocess.run(
        [*words, f"RUNS={place}/runs"],
        cwd=REPOSITORY,
        env=without_make(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "docs/data.md says how to bring AudioCaps" in done.stderr
