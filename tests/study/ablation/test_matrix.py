"""A matrix is planned from its table, run, and of a second run only what has changed."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avcap.commands.study import ablation
from avcap.study.ablation.cell import cell_step
from avcap.study.ablation.matrix import nested, read_matrix
from avcap.study.graph import Step
from tests.study.ablation.conftest import PROGRAM, REPOSITORY, verbs, write_overlay
from tests.test_readme import take

CELLS = ["fusion/cross/0", "fusion/cross/1", "fusion/time/0", "fusion/time/1"]
ALL_RUN = {name: ["fit", "test"] for name in CELLS}


def run(place: Path, **options) -> None:
    """`avcap ablation run` on the tiny matrix; raises SystemExit unless all is done."""
    ablation("tiny", table=place / "matrix.yaml", launch=shlex.join(PROGRAM), **options)


def fails(place: Path, **options) -> None:
    with pytest.raises(SystemExit, match="1"):
        run(place, **options)


@pytest.fixture
def listed(place: Path, capsys: pytest.CaptureFixture):
    """The cells that a run would run, in their order."""

    def cells(**options) -> list[str]:
        capsys.readouterr()
        run(place, dry_run=True, **options)
        lines = capsys.readouterr().out.splitlines()
        fits = [shlex.split(line) for line in lines if line.startswith("avcap fit")]
        return [words[words.index("--trainer.default_root_dir") + 1].split("/runs/")[1] for words in fits]

    return cells


def cell_of(place: Path, value: str) -> Step:
    overlay = place / "ablation" / "fusion" / f"{value}.yaml"
    return cell_step(place / "base.yaml", overlay, place / "runs" / "fusion" / value / "0", seed=0)


def ran(place: Path) -> dict[str, list[str]]:
    return {name: verbs(place / "runs" / name) for name in CELLS}


def test_every_value_is_a_cell_of_every_seed_all_seeds_of_one_first(listed) -> None:
    assert listed() == CELLS
    assert listed(seeds="1") == ["fusion/cross/1", "fusion/time/1"]
    assert listed(axes="fusion/time", seeds="5") == ["fusion/time/5"]


def test_the_planned_commands_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(REPOSITORY)
    (tmp_path / "data").touch()
    axes = "modality/both modality/audio"
    ablation("demo", axes=axes, seeds="0", runs=tmp_path / "runs", data=tmp_path / "data", dry_run=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        *(["avcap", "fit"], ["avcap", "test"], ["ln", "-s"]),
        *(["avcap", "fit"], ["avcap", "test"]),
    ]
    for line in lines:
        if line.startswith("avcap"):
            take(line)


def test_a_cell_is_run_for_its_link(place: Path, listed) -> None:
    assert listed(axes="ot") == ["fusion/time/0", "fusion/time/1"]
    run(place, axes="ot", seeds="0")
    link = place / "runs" / "ot" / "off" / "0"
    assert link.resolve() == (place / "runs" / "fusion" / "time" / "0").resolve()
    assert (link / "results.json").is_file()
    assert listed(axes="ot", seeds="0") == []


def test_a_cell_in_the_place_of_a_link_is_told(place: Path, capsys: pytest.CaptureFixture) -> None:
    (place / "runs" / "ot" / "off" / "0").mkdir(parents=True)
    fails(place, axes="ot", seeds="0")
    said = capsys.readouterr().out
    assert f"ot/off/0 is no link to {place}/runs/fusion/time/0; delete it." in said


def test_settings_of_the_table_become_a_config(place: Path, capsys: pytest.CaptureFixture) -> None:
    text = (place / "matrix.yaml").read_text().replace('values: {ot: ["off"]}', "values: {ot: [full]}")
    (place / "matrix.yaml").write_text(text.replace("same: {ot/off: fusion/time}", ""))
    run(place, axes="ot", seeds="0")
    assert (place / "runs" / "configs" / "ot" / "full.yaml").read_text() == "act:\n  say: all\n"
    assert f"--config {place}/runs/configs/ot/full.yaml" in (place / "runs/ot/full/0/log.txt").read_text()
    (place / "matrix.yaml").write_text(text.replace("same: {ot/off: fusion/time}", "").replace("say: all", "say: more"))
    capsys.readouterr()
    run(place, axes="ot", seeds="0", dry_run=True)
    assert "ot/full/0" in capsys.readouterr().out


def test_an_axis_may_be_made_by_a_command_of_its_own(place: Path, capsys: pytest.CaptureFixture) -> None:
    script = place / "chain.py"
    script.write_text(
        "import sys\nopen(sys.argv[3] + '/results.json', 'w').write('{\"scores\": {}, \"is\": \"%s %s\"}' % tuple(sys.argv[1:3]))"
    )
    axis = f"""axes:
  objective:
    base: {place}/base.yaml
    values: {{mmd: {{config: {place}/base.yaml}}}}
    command: {sys.executable} {script} {{value}} {{seed}} {{out}}
"""
    text = (place / "matrix.yaml").read_text().replace("axes:\n", axis, 1)
    (place / "matrix.yaml").write_text(
        text.replace("axes: [fusion, ot]", "axes: [fusion, ot]\n    others: [objective]")
    )
    run(place, axes="objective")
    said = capsys.readouterr().out
    assert '"mmd 1"' in (place / "runs" / "objective" / "mmd" / "1" / "results.json").read_text()
    assert said.rstrip().endswith("2 done")
    run(place, axes="objective", dry_run=True)
    assert capsys.readouterr().out == ""
    (place / "base.yaml").write_text("data: elsewhere")
    run(place, axes="objective", dry_run=True)
    assert capsys.readouterr().out.count("chain.py") == 2


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (("axes: [fusion, ot]", "axes: [fusion, colour]"), r"matrix\.yaml has no axis 'colour'; it has fusion, ot"),
        (("fusion/time}", "fusion/tim}"), "The axis fusion has no value 'tim'; it has cross, time"),
        (
            ("same: {ot/off: fusion/time}", "same: {ot/off: fusion/time, fusion/time: fusion/cross}"),
            "fusion/time is the same",
        ),
        (('ot: ["off"]', "ot: [of]"), "no value 'of'"),
        (("seeds: [0, 1]", "seed: 0"), "the matrix tiny is not whole"),
        (("seeds: [0, 1]", "seeds: [0]\n    jobs: 2"), "the matrix tiny has an unknown key, jobs"),
    ],
)
def test_a_wrong_table_is_told(place: Path, edit: tuple[str, str], says: str) -> None:
    text = (place / "matrix.yaml").read_text()
    assert edit[0] in text
    (place / "matrix.yaml").write_text(text.replace(*edit))
    with pytest.raises(ValueError, match=says):
        read_matrix("tiny", place / "matrix.yaml")


def test_an_unknown_axis_matrix_or_table_is_told(place: Path) -> None:
    with pytest.raises(ValueError, match="The matrix has no axis 'colour'; it has fusion, ot"):
        run(place, axes="colour")
    with pytest.raises(ValueError, match=r"matrix\.yaml has no matrix 'none'; it has tiny"):
        read_matrix("none", place / "matrix.yaml")
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none\.yaml"):
        read_matrix("tiny", place / "none.yaml")


def test_data_that_are_not_there_are_told(place: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no \S+/audiocaps; docs/data.md says how to bring AudioCaps"):
        run(place, data=place / "audiocaps")


def test_paths_of_settings_are_nested() -> None:
    assert nested({"a.b": 1, "a.c": {"d": 2}, "e": None}) == {"a": {"b": 1, "c": {"d": 2}}, "e": None}


def test_only_what_has_changed_runs_again(place: Path, listed) -> None:
    run(place, jobs=4)
    assert ran(place) == ALL_RUN
    assert listed() == []

    for path in place.rglob("*.yaml"):  # touched: the contents are the same
        os.utime(path, (time.time() + 9, time.time() + 9))
    assert listed() == []

    write_overlay(place, "fusion/cross", "other")
    assert listed() == ["fusion/cross/0", "fusion/cross/1"]
    run(place, jobs=4)
    assert (place / "runs" / "fusion" / "cross" / "0" / "results.json").read_text().count("other") == 1
    assert (place / "runs" / "fusion" / "time" / "0" / "results.json").read_text().count("other") == 0
    assert ran(place) == ALL_RUN  # of the new cells: the old ones are deleted


def test_another_base_makes_everything_anew(place: Path, listed) -> None:
    run(place, axes="fusion", seeds="0")
    (place / "other.yaml").write_text("data: other")
    assert listed(axes="fusion", seeds="0", base=place / "other.yaml") == ["fusion/cross/0", "fusion/time/0"]


def test_other_data_make_everything_anew(place: Path, listed) -> None:
    run(place, seeds="0")
    (place / "data" / "info.json").write_text('{"ids": ["one more"]}')
    assert listed(seeds="0") == ["fusion/cross/0", "fusion/time/0"]
    run(place, seeds="0")
    assert cell_of(place, "time").state() == "done"
    assert verbs(place / "runs" / "fusion" / "time" / "0") == ["fit", "test"]  # of the new cell


def test_a_failed_cell_stops_no_other_and_is_told_at_the_end(place: Path, capfd: pytest.CaptureFixture) -> None:
    write_overlay(place, "fusion/cross", "fail: fit")
    fails(place)
    said = capfd.readouterr().out
    assert ran(place) == {name: ["fit"] if "cross" in name else ["fit", "test"] for name in CELLS}
    assert f"{place}/runs/fusion/cross/1 failed: avcap: error: fit went wrong" in said
    assert said.rstrip().endswith("4 done, 2 failed")  # two cells and the two links to them
    write_overlay(place, "fusion/cross", "put right")
    run(place)
    assert ran(place) == ALL_RUN


def test_the_status_runs_nothing(place: Path, capsys: pytest.CaptureFixture) -> None:
    fails(place, status=True)
    assert capsys.readouterr().out.endswith("6 not started\n")
    assert ran(place) == {name: [] for name in CELLS}


def test_jobs_share_the_cores(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avcap.study.graph import share_cores

    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert "OMP_NUM_THREADS" not in share_cores(1)
    assert [share_cores(jobs)["OMP_NUM_THREADS"] for jobs in (2, 3, 16)] == ["4", "2", "1"]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert share_cores(2)["OMP_NUM_THREADS"] == "5"


@pytest.mark.parametrize("program", [["avcap"], ["make"]])
def test_a_stopped_matrix_goes_on(place: Path, program: list[str]) -> None:
    write_overlay(place, "fusion/time", "wait: go")
    avcap = [sys.executable, str(REPOSITORY / "cli.py")]
    words = ["tiny", "--table", str(place / "matrix.yaml"), "--launch", shlex.join(PROGRAM), "--seeds", "0"]
    command = [*avcap, "ablation", "run", *words, "--jobs", "2"]
    if program == ["make"]:
        (place / "venv").mkdir()
        (place / "venv" / ".installed").touch()
        settings = (f"VENV={place}/venv", f"AVCAP={shlex.join(avcap)}", f"LAUNCH={shlex.join(PROGRAM)}", "SEEDS=0")
        command = ["make", "-j2", "ablation", *settings, f"MATRIX=tiny --table {place}/matrix.yaml"]
    surroundings = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    }
    waiting = place / "runs" / "fusion" / "time" / "0"
    process = subprocess.Popen(command, cwd=REPOSITORY, env=surroundings, stdout=subprocess.DEVNULL)
    other = place / "runs" / "fusion" / "cross" / "0"
    deadline = time.monotonic() + 60
    while not (verbs(waiting) and cell_of(place, "cross").state() == "done"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) != 0
    deadline = time.monotonic() + 30
    while cell_of(place, "time").state() == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert cell_of(place, "time").state() == "stopped"
    (waiting / "go").touch()
    run(place, seeds="0")
    assert verbs(waiting) == ["fit", "fit", "test"]
    assert verbs(other) == ["fit", "test"]
