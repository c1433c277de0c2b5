"""What the benchmarks share: ways that are timed by turns, beside a matrix product, in a process of their own."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from avcap.operations import operation_counter, peak_memory

GEMM = 2048  # rows and columns of the matrix product that tells what the machine can do
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Row(NamedTuple):
    """One line of the table."""

    what: str
    seconds: float  # ours
    plain: str = ""  # what the plain way is
    plain_seconds: float | None = None
    share: float | None = None  # of what the matrix product of the same number format does a second
    peak: float | None = None  # GFLOP/s of that product
    memory: float | None = None  # most memory of the process, GiB

    def __str__(self) -> str:
        """Format the line."""
        ratio = "" if self.plain_seconds is None else f"{self.plain_seconds / self.seconds:.1f}"
        plain = "" if self.plain_seconds is None else _time(self.plain_seconds)
        share = "" if self.share is None else f"{self.share:.0%} of {self.peak:,.0f}"
        memory = "" if self.memory is None else f"{self.memory:.2f}"
        return f"| {self.what} | {_time(self.seconds)} | {self.plain} | {plain} | {ratio} | {share} | {memory} |"


HEAD = "| what | ours | the plain way | plain | times | share of GFLOP/s | GiB |\n|---|---:|---|---:|---:|---:|---:|"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.2f} ms"


def clock() -> float:
    """Return processor time where there is one thread, so that other programs disturb little; else the time on the wall."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def by_turns(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each way over ``rounds`` in which every way runs once, after one to warm up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            start = clock()
            way()
            if turn:
                times[name].append(clock() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def product_speed(dtype: str, times: int = 5) -> float:
    """Return the operations a second of a matrix product in a number format, the best of a few."""
    a, b = (torch.randn(GEMM, GEMM).to(DTYPES[dtype]) for _ in range(2))
    spent = []
    for _ in range(times + 1):
        start = clock()
        a @ b
        spent.append(clock() - start)
    return 2 * GEMM**3 / min(spent)


def operations(run: Callable[[], object]) -> int:
    """Return the floating-point operations of the matrix products and attentions of a call."""
    with operation_counter() as counting:
        run()
    return counting.get_total_flops()


def memory() -> float:
    """Return the most resident memory of this process so far, GiB."""
    return peak_memory(torch.device("cpu")) / 2**30


def alone(function: Callable[..., Any], *args: Any, threads: int) -> Any:
    """Call a function of a module in a fresh process with so many threads, so that the memory of one does not hide the next."""
    with multiprocessing.get_context("spawn").Pool(1, torch.set_num_threads, (threads,)) as pool:
        return pool.apply(function, args)
