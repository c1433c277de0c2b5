"""METEOR 1.5, by its Java program, which takes its language data from its own jar and one paraphrase table.

Denkowski and Lavie, "Meteor universal: language specific translation evaluation for any target language", WMT 2014.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO

from avcap.metrics.java import OPTIONS

_BAR = " ||| "


def meteor(
    captions: Sequence[str], references: Sequence[Sequence[str]], *, java: Path, jar: Path
) -> tuple[float, list[float]]:
    """Compute METEOR of one tokenised caption per clip, without bars; it takes seconds, mostly to read the paraphrase table.

    The program turns each caption into statistics, and then the statistics of all into scores.

    Returns:
        The score of all clips (statistics are summed first, so it is not the mean), and that of every clip.

    Raises:
        ValueError: If the program stops or answers something else than a number.
    """
    command = [str(java), *OPTIONS, "-Xmx2G", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"]
    with tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace") as complaints:
        try:
            scores = _run(command, captions, references, complaints)
        except (OSError, ValueError) as error:
            complaints.seek(0)
            said = complaints.read().strip().split("\n")[-1]
            raise ValueError(f"METEOR failed ({error}): {said or 'without a message'}") from error
    return scores[-1], scores[:-1]


def _run(
    command: list[str], captions: Sequence[str], references: Sequence[Sequence[str]], complaints: IO[str]
) -> list[float]:
    """Return the scores of the captions, and last the corpus score."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=complaints, encoding="utf-8", bufsize=1) as process:
        try:
            if process.stdin is None or process.stdout is None:  # never: both are pipes
                raise ValueError("no pipe")
            ask = partial(_ask, process.stdin, process.stdout)
            statistics = [
                ask(_BAR.join(["SCORE", *several, caption]))
                for caption, several in zip(captions, references, strict=True)
            ]
            first = ask(_BAR.join(["EVAL", *statistics]))
            return [float(line) for line in (first, *(_read(process.stdout) for _ in captions))]
        finally:
            process.kill()


def _ask(questions: IO[str], answers: IO[str], line: str) -> str:
    """Write a line to the program and read its answer."""
    questions.write(line + "\n")  # flushed at the end of the line
    return _read(answers)


def _read(answers: IO[str]) -> str:
    """Read one line of the program; raise if it has ended."""
    line = answers.readline()
    if not line:
        raise ValueError("no answer")
    return line.strip()
