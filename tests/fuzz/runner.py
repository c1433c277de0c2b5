"""Try inputs at the entrances, in a process that may crash: `python -m tests.fuzz.runner FOLDER SEED ENTRANCE=COUNT...`.

Each input is written down before it is tried, so that one that kills or stops this process is known. What is not right is
written to ``found.jsonl``, once for each sort with its shortest input.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import logging
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from avcap import cli
from tests.fuzz.entrances import ENTRANCES, Entrance
from tests.fuzz.inputs import Perhaps

PATIENCE = 10.0  # seconds of this process's time for one input
LONGEST = 2000  # characters of a sentence
MEMORY = 16 * 2**30


class TooSlow(BaseException):
    """An input took too long."""


class Runner:
    """Tries inputs and keeps what is not right.

    Args:
        folder: Where ``current`` (the input that is tried), ``tried.json`` and ``found.jsonl`` go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: dict[str, dict[str, Any]] = {}
        self.tried: dict[str, int] = {}

    def run(self, name: str, count: int, number: int) -> None:
        """Try ``count`` inputs at an entrance."""
        entrance = ENTRANCES[name]

        @seed(number)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(entrance.files)
        def one(made: tuple[Any, ...]) -> None:
            if self.tried.get(name, 0) < count:
                self.tried[name] = self.tried.get(name, 0) + 1
                self._try(name, entrance, *made)

        one()

    def _try(self, name: str, entrance: Entrance, content: bytes, wanted: Any, suffix: str = "") -> None:
        header = {"entrance": name, "tried": self.tried}
        (self.folder / "current").write_bytes(json.dumps(header).encode() + b"\n" + content)
        with tempfile.TemporaryDirectory(dir=self.folder) as outer:
            inner = Path(outer, "a", "b", "c")
            inner.mkdir(parents=True)
            file = inner / entrance.name.replace("{}", suffix)
            file.write_bytes(content)
            wrong = self._read(entrance, file, wanted)
            strays = [p for p in Path(outer).rglob("*") if inner not in (p, *p.parents) and p not in inner.parents]
            strays += [p for p in (Path("executed"), Path("/tmp/out.wav")) if p.exists()]
            if strays:
                wrong = f"wrote outside of its folder, or ran code: {strays[0].name}"
                for path in strays:
                    shutil.rmtree(path, ignore_errors=True)
        if wrong is not None:
            sort = f"{name}: {wrong.partition(': ')[0]}"
            known = self.found.get(sort)
            times = known["times"] + 1 if known else 1
            if known is None or len(content) < known["bytes"]:
                kept = Path(known["input"]) if known else self.folder / f"found-{len(self.found)}-{file.name}"
                kept.write_bytes(content)
                known = {"entrance": name, "wrong": wrong, "input": str(kept), "bytes": len(content)}
            self.found[sort] = {**known, "times": times}
            self.write()  # the next input may crash

    def _read(self, entrance: Entrance, file: Path, wanted: Any) -> str | None:
        """Return what is not right, or None."""
        faulthandler.dump_traceback_later(12 * PATIENCE, exit=True)
        signal.setitimer(signal.ITIMER_PROF, PATIENCE)
        try:
            said, error = _as_program(lambda: entrance.read(file, wanted))
        except TooSlow:
            return "took longer than 10 s"
        except AssertionError as error:
            return f"wrong content: {error}"
        except Exception as error:
            return f"{type(error).__name__} {_place(error)}: {error}"
        else:
            return None if error is None else self._judge(entrance, file, wanted, said, _place(error))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.cancel_dump_traceback_later()

    def _judge(self, entrance: Entrance, file: Path, wanted: Any, said: str, place: str) -> str | None:
        """Return what is not right with a sentence, or None."""
        if wanted is not None and not isinstance(wanted, Perhaps):
            return f"refused what is right {place}: {said}"
        if entrance.named and file.name not in said and str(file.parent) not in said:
            return f"names no file {place}: {said}"
        if len(said) > LONGEST:
            return f"{len(said)} characters are no sentence {place}: {said}"
        return None

    def write(self) -> None:
        """Write what was found, and how many were tried."""
        lines = [json.dumps(found) + "\n" for found in self.found.values()]
        (self.folder / "found.jsonl").write_text("".join(lines))
        (self.folder / "tried.json").write_text(json.dumps(self.tried))


def _as_program(read: Callable[[], object]) -> tuple[str, BaseException | None]:
    """Run as `avcap` runs a verb; its error sentence and the exception behind that, where there is one."""
    run = cli.run

    def once(argv: list[str]) -> None:
        cli.run = run
        read()

    cli.run = once
    ended: SystemExit | None = None
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as written:
        try:
            cli.main([])
        except SystemExit as stop:
            ended = stop
        finally:
            cli.run = run
    said = " ".join(written.getvalue().split())
    if ended is None:
        return said, None
    assert ended.code == 1, f"status {ended.code}: {said[-300:]}"
    assert "avcap: error: " in said, f"no error sentence: {said[-300:]}"
    return said, ended.__context__ or ended


def _place(error: BaseException) -> str:
    """The last place in the package that an error came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "avcap" in Path(frame.filename).parts]
    return f"at {Path(frames[-1].filename).name}:{frames[-1].name}" if frames else "outside the package"


def _stop(*_: object) -> None:
    raise TooSlow


def main(folder: Path, number: int, wanted: dict[str, int]) -> None:
    """Try inputs at some entrances, one entrance after another."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    faulthandler.enable()
    signal.signal(signal.SIGPROF, _stop)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard), hard))
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    (folder / "stolen.py").write_text(
        "import os\nos.mkdir('executed')\nclass Stolen: pass\n"
    )  # what a checkpoint may name
    runner = Runner(folder)
    for name, count in wanted.items():
        runner.run(name, count, number)
    runner.write()


if __name__ == "__main__":
    pairs = (word.rpartition("=") for word in sys.argv[3:])
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), {name: int(count) for name, _, count in pairs})
