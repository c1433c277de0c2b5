"""A graph of files: what runs, in which order, and what runs again."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import ClassVar

import pytest

from avcap.study.graph import Outcome, Step, run_steps, unmade
from avcap.study.runner import Runner, last_line

WRITE = "import sys; open(sys.argv[2], 'a').write(sys.argv[1] + ' '); open(sys.argv[1], 'w').write('made')"
# notes its start; once there is a file `go`, writes; SIGTERM ends it
WAIT = """import sys, time, pathlib, signal
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
with open(sys.argv[2], 'a') as log: log.write(sys.argv[1] + ' ')
while not pathlib.Path(sys.argv[3]).exists(): time.sleep(0.02)
pathlib.Path(sys.argv[1]).write_text('made')"""
RUN = """import sys, json, pathlib
from avcap.study.graph import Step, run_steps
from avcap.study.runner import Runner
paths = lambda names: tuple(map(pathlib.Path, names))
steps = [Step(pathlib.Path(m), tuple(map(tuple, c)), paths(n)) for m, c, n in json.loads(sys.argv[1])]
outcome = run_steps(steps, Runner(lambda text: None), jobs=2)
print(outcome)
sys.exit(bool(outcome.failed or outcome.stopped))"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def step(name: str, *needs: str, config: str = "", fail: bool = False) -> Step:
    code = "raise SystemExit(3)" if fail else WRITE
    configs = (Path(config),) if config else ()
    return Step(Path(name), ((sys.executable, "-c", code, name, "log"),), tuple(map(Path, needs)), configs)


def run(*steps: Step, jobs: int = 1) -> Outcome:
    return run_steps(steps, Runner(str), jobs=jobs)


def log() -> list[str]:
    """The files in the order in which they were begun; forgets them."""
    path = Path("log")
    names = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return names


def diamond() -> list[Step]:
    return [step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c")]


def test_every_file_is_made_once(place: Path) -> None:
    assert run(*diamond()) == Outcome(made=[Path(name) for name in "abcd"])
    assert log() == ["a", "b", "c", "d"]
    assert run(*diamond(), jobs=2) == Outcome()
    assert log() == []


@dataclass(frozen=True)
class Told(Step):
    """A step that ends when it is told to; ``began`` holds the names of those that were begun."""

    commands: tuple[()] = ()
    began: ClassVar[queue.Queue[str]] = queue.Queue()
    ends: Event = field(default_factory=Event)

    def is_made(self) -> bool:
        return False

    def make(self, runner: Runner) -> None:
        self.began.put(str(self.makes))
        assert self.ends.wait(30)


def test_rows_are_finished_one_after_another(place: Path) -> None:
    """Two jobs, three rows of two stages: a row begins when there is nothing to do in those before it."""
    x0, x1, y0, y1, z0 = steps = [
        Told(Path(name), needs=needs)
        for name, needs in (("x0", ()), ("x1", (Path("x0"),)), ("y0", ()), ("y1", (Path("y0"),)), ("z0", ()))
    ]
    began = []

    def drive() -> None:
        began.extend(Told.began.get(timeout=30) for _ in range(2))
        for ending in (x0, x1, y0):
            ending.ends.set()
            began.append(Told.began.get(timeout=30))
        for each in (y1, z0):
            each.ends.set()

    thread = Thread(target=drive)
    thread.start()
    run(*steps, jobs=2)
    thread.join(30)
    assert began == ["x0", "y0", "x1", "z0", "y1"]


def test_a_touched_file_changes_nothing_and_a_changed_one_what_follows_from_it(place: Path) -> None:
    Path("source").write_text("1")
    steps = [step("a", "source"), step("b", "a"), step("other")]
    run(*steps)
    log()
    os.utime("source", (time.time() + 9, time.time() + 9))
    assert unmade(steps) == []
    Path("source").write_text("2")
    assert [str(each.makes) for each in unmade(steps)] == ["a", "b"]
    assert run(*steps).made == [Path("a")]  # it came out the same, so `b` stands


def test_a_changed_config_or_command_counts(place: Path) -> None:
    Path("config.yaml").write_text("{lr: 1}")
    run(step("a", config="config.yaml"))
    Path("config.yaml").write_text("# faster\nlr: 1")
    assert unmade([step("a", config="config.yaml")]) == []
    Path("config.yaml").write_text("{lr: 2}")
    assert unmade([step("a", config="config.yaml")])
    assert unmade([Step(Path("a"), (("touch", "a"),), (), (Path("config.yaml"),))])


def test_what_the_graph_makes_counts_only_where_it_is_needed(place: Path) -> None:
    """A config may name a file that a later step makes."""
    Path("config.yaml").write_text("{weights: runs/later, data: data/info}")
    for folder in ("runs", "data"):
        Path(folder).mkdir()
    Path("data/info").write_text("1")
    early = Step(Path("early"), (("touch", "early"),), (), (Path("config.yaml"),), apart=Path("runs"))
    run(early)
    Path("runs/later").write_text("made")
    assert early.is_made()
    Path("data/info").write_text("2")
    assert not early.is_made()


def test_unfinished_work_of_other_settings_is_cleared_and_of_the_same_kept(place: Path) -> None:
    def trains(rate: str) -> Step:
        code = f"import pathlib, sys; pathlib.Path('run').mkdir(exist_ok=True); pathlib.Path('run/{rate}').touch(); sys.exit(1)"
        return Step(Path("weights"), ((sys.executable, "-c", code),), clears=(Path("run"),))

    run(trains("fast"))
    Path("run/checkpoint").touch()
    run(trains("fast"))
    assert Path("run/checkpoint").exists()
    run(trains("slow"))
    assert [path.name for path in Path("run").iterdir()] == ["slow"]


def test_a_half_written_file_is_not_taken_for_a_made_one(place: Path) -> None:
    half = Step(Path("a"), ((sys.executable, "-c", "open('a', 'w').write('half'); raise SystemExit(1)"),))
    assert Path("a") in run(half).failed
    assert unmade([half]) == [half]


def test_a_file_made_by_hand_is_kept_unless_it_is_older_than_its_needs(place: Path) -> None:
    for name, age in (("a", 20), ("b", 10)):
        Path(name).write_text("by hand")
        os.utime(name, (time.time() - age, time.time() - age))
    assert run(step("a"), step("b", "a")) == Outcome()
    Path(".b.made").unlink()
    os.utime("a")
    assert run(step("a"), step("b", "a")).made == [Path("b")]


def test_a_failure_stops_only_what_needs_it(place: Path) -> None:
    outcome = run(step("bad", fail=True), step("b", "bad"), step("c", "b"), step("good"))
    assert outcome.made == [Path("good")]
    assert outcome.failed[Path("bad")].startswith("status 3 of: ")
    assert outcome.left == [Path("b"), Path("c")]


def test_a_command_that_has_ended_well_does_not_run_again(place: Path) -> None:
    """Unless what it left is gone."""
    first = "import pathlib; pathlib.Path('run').mkdir(exist_ok=True); open('log', 'a').write('first ')"
    commands = tuple((sys.executable, "-c", code) for code in (first, "open('out', 'w').close() if open('go') else 0"))
    both = Step(Path("out"), commands, clears=(Path("run"),))
    assert "status 1" in run(both).failed[Path("out")]
    run(both)
    assert log() == ["first"]
    Path("run").rmdir()
    run(both)
    assert log() == ["first"]
    Path("go").touch()
    assert run(both).made == [Path("out")]
    assert log() == []


def test_the_state_of_a_file(place: Path) -> None:
    good, bad = step("good", "source"), step("bad", fail=True)
    Path("source").write_text("1")
    assert good.state() == "not started"
    run(good, bad)
    assert (good.state(), bad.state()) == ("done", "failed")
    Path("source").write_text("2")
    assert good.state() == "stale"
    bad.record.write_text('{"mark": ')
    with pytest.raises(ValueError, match=r"\.bad\.made is damaged .* delete it"):
        bad.state()


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("one\ntwo\n\n", "two"),
        ("\x1b[31merror: red\x1b[0m\n", "error: red"),
        ("epoch 1\repoch 2\n", "epoch 2"),
        ("avcap: error: no such class\ntip: --help lists them\n", "avcap: error: no such class"),
        ("x" * 400, "x" * 297 + "..."),
        ("", "no word in the log"),
    ],
)
def test_the_last_line_of_a_log(tmp_path: Path, log: str, line: str) -> None:
    (tmp_path / "log.txt").write_text(log)
    assert last_line(tmp_path / "log.txt") == line


def test_a_program_that_is_not_there_or_writes_nothing_is_told(place: Path) -> None:
    outcome = run(Step(Path("a"), (("/no/such/program",),)), Step(Path("b"), (("true",),)))
    assert "No such file" in outcome.failed[Path("a")]
    assert outcome.failed[Path("b")] == "it was not written by: true"


def test_a_step_before_one_that_it_needs_is_told(place: Path) -> None:
    with pytest.raises(ValueError, match="b needs a, which is made later"):
        run(step("b", "a"), step("a"))


def wait_for(there, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def begun() -> list[str]:
    return Path("log").read_text().split() if Path("log").exists() else []


def waiting_graph() -> str:
    """One step that is made at once, and two that wait for the file `go`."""
    command = [sys.executable, "-c"]
    rows = [["a", [[*command, WRITE, "a", "log"]], []]]
    rows += [[name, [[*command, WAIT, name, "log", "go"]], ["a"]] for name in "bc"]
    return json.dumps([*rows, ["d", [[*command, WRITE, "d", "log"]], ["b", "c"]]])


def start() -> subprocess.Popen:
    command = [sys.executable, "-c", RUN, waiting_graph()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_graph_stops_its_commands_and_goes_on(place: Path, number: int) -> None:
    process = start()
    wait_for(lambda: sorted(begun()) == ["a", "b", "c"])
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "failed={}" in said
    Path("go").touch()
    again = start()
    assert again.communicate(timeout=30)
    assert again.returncode == 0
    assert sorted(begun()) == ["a", "b", "b", "c", "c", "d"]


def test_a_killed_group_goes_on(place: Path) -> None:
    process = start()
    wait_for(lambda: sorted(begun()) == ["a", "b", "c"])
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    Path("go").touch()
    again = start()
    again.communicate(timeout=30)
    assert again.returncode == 0
    assert sorted(begun()) == ["a", "b", "b", "c", "c", "d"]


def test_commands_that_outlive_a_killed_graph_are_waited_for(place: Path) -> None:
    process = start()
    wait_for(lambda: sorted(begun()) == ["a", "b", "c"])
    process.kill()
    process.stdout.close()
    process.wait()
    again = start()
    time.sleep(1.0)
    assert sorted(begun()) == ["a", "b", "c"]  # no second run beside the first
    again.terminate()  # it waits, and can be stopped
    said, _ = again.communicate(timeout=30)
    assert "stopped=15" in said
    again = start()
    Path("go").touch()
    again.communicate(timeout=30)
    assert again.returncode == 0
    assert sorted(path.name for path in place.glob("?")) == ["a", "b", "c", "d"]
