"""The benchmarks run; speed is for `make bench` to say."""

from __future__ import annotations

import sys

import pytest
import torch

from benchmarks import gpu, rows
from benchmarks.measuring import Row, by_turns, clock


def test_a_line_has_the_ratio_and_the_share_of_the_machine() -> None:
    line = str(Row("a step", 0.5, "the plain way", 1.5, 0.8, 90.0, 1.25))
    assert line == "| a step | 500.00 ms | the plain way | 1.50 s | 3.0 | 80% of 90 | 1.25 |"


def test_ways_take_turns_and_the_first_round_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    order, now = [], [0.0]

    def way(name: str, *seconds: float):
        left = iter(seconds)

        def run() -> None:
            order.append(name)
            now[0] += next(left)

        return run

    monkeypatch.setattr("benchmarks.measuring.clock", lambda: now[0])
    found = by_turns({"a": way("a", 9, 1, 2, 3), "b": way("b", 9, 4, 4, 7)}, rounds=3)
    assert (found, order) == ({"a": 2, "b": 4}, ["a", "b"] * 4)
    assert clock() >= 0


@pytest.mark.parametrize("line", [rows.sinkhorn_solver, rows.metrics])
def test_a_line_of_the_table_is_measured(line) -> None:
    found = line(True)
    assert found.seconds > 0
    assert found.plain_seconds > 0


def test_the_benchmark_of_a_card_runs_on_a_cpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(gpu, "SIZES", {"dali": (1,)})
    monkeypatch.setattr(gpu, "SYSTEMS", {"dali": gpu.SYSTEMS["dali"]})
    monkeypatch.setattr(gpu, "OWN", {"dali": 1})
    monkeypatch.setattr(
        sys, "argv", ["gpu.py", *["--device", "cpu", "--small", "--steps", "1", "--only", "parity", "dali"]]
    )
    gpu.main()
    printed = capsys.readouterr().out.splitlines()
    assert "| dali, loss and norm of its gradient | 0.0e+00 | 0.0e+00 |" in printed  # a CPU equals itself
    lines = [line.split(" | ") for line in printed if line.startswith("| dali | ")]
    assert [line[1] for line in lines] == ["bf16-mixed", "float32"]
    assert all(float(line[3]) > 0 for line in lines)


def test_what_a_card_cannot_hold_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(gpu, "step", full)
    card = gpu.Card("cpu", steps=1, small=True)
    assert gpu.attempt(card, "dali", 64, torch.bfloat16) == "| dali | bf16-mixed | 64 | does not fit | | | | | |"
