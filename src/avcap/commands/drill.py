"""``avcap drill``: kill a command again and again, and see that nothing is lost."""

from __future__ import annotations

import secrets
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from avcap.drill.drills import DRILLS
from avcap.drill.rounds import DrillReport, run_drill

ARGUMENTS = """

    Args:
        kills: How often it is stopped; by one signal to the main process alone, or to all its processes.
        seed: Seed of the moments; null draws one, which is printed.
        folder: An empty or new folder to work in, which is kept; null: a temporary one.

    Raises:
        SystemExit: with status 1 if something was lost, or a process outlived its command.
        ValueError: if there is no kill to do, or the folder is not empty.
    """


def _verb(name: str, does: str) -> Callable[..., None]:
    """Return the function of a verb, whose docstring is its help."""

    def drill(*, kills: int = 20, seed: int | None = None, folder: Path | None = None) -> None:
        _drill(name, kills, seed, folder)

    drill.__doc__ = does + ARGUMENTS
    return drill


drill_prepare = _verb(
    "prepare",
    "Kill `avcap data prepare` by SIGKILL at random moments; compare its shards, byte for byte, with undisturbed ones.",
)
drill_train = _verb(
    "train",
    "Kill `avcap fit` by SIGKILL at random moments; compare weights, losses, scores and order of clips with an undisturbed run.",
)
drill_resume = _verb(
    "resume",
    "Stop a run of two processes by SIGTERM, in training and in validation; compare it with an undisturbed run.",
)


def _drill(name: str, kills: int, seed: int | None, folder: Path | None) -> None:
    seed = secrets.randbelow(2**31) if seed is None else seed
    print(f"drill {name}, seed {seed}", file=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # its end takes the drilled command along
    if folder is not None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(f"{folder} is not an empty folder; name a new one with --folder.")
        folder.mkdir(parents=True, exist_ok=True)
        _finish(_run(name, folder.resolve(), kills, seed))
        return
    with tempfile.TemporaryDirectory(prefix="avcap_drill_") as temporary:
        _finish(_run(name, Path(temporary).resolve(), kills, seed))


def _run(name: str, folder: Path, kills: int, seed: int) -> DrillReport:
    return run_drill(
        DRILLS[name](folder), folder, stops=kills, seed=seed, tell=lambda line: print(f"  {line}", file=sys.stderr)
    )


def _finish(report: DrillReport) -> None:
    """Print the report; raise where something is wrong."""
    places = ", ".join(f"{count} in {place}" for place, count in sorted(report.stops.items()))
    print(f"drill {report.name}, seed {report.seed}")
    print(f"  stopped          {report.stops.total()} ({places})")
    print(f"  went on          {report.continued}")
    print(f"  came to the end  {report.rounds}")
    print(f"  slowest end      {report.slowest:.1f} s after the signal")
    print(f"  done again       {report.again} {report.unit} at most after one stop")
    print(f"  left alive       {report.alive} processes")
    for fault in report.faults:
        print(f"  fault            {fault}")
    print("  " + ("Nothing was lost, and nothing is left." if report.ok else "Something was lost, or is left."))
    if not report.ok:
        raise SystemExit(1)
