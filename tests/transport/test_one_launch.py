"""The Triton kernel, without a card: by Triton's interpreter, and compiled for one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from avcap.transport import _iterations
from avcap.transport._iterations import log_domain, quickest

pytest.importorskip("triton")


INTERPRETED = """
import torch
from avcap.transport._iterations import log_domain
from avcap.transport.one_launch import one_launch

for n, m, span in ((5, 9, 1.0), (4, 8, 300.0), (1, 3, 10.0)):
    torch.manual_seed(0)
    score = torch.rand(3, n, m) * span
    a, b = torch.rand(3, n) + 0.1, torch.rand(3, m) + 0.1
    b[1, 1:] = 0  # a clip with one real column
    log_a, log_b = ((x / x.sum(1, keepdim=True)).log() for x in (a, b))
    exact = log_domain(score, log_a, log_b, iterations=7)
    found = one_launch(score, log_a, log_b, iterations=7)
    assert torch.equal(torch.isneginf(found), torch.isneginf(exact))
    torch.testing.assert_close(found.exp(), exact.exp(), rtol=1e-4, atol=1e-6)
print("the same")
"""


def test_the_kernel_does_what_the_log_domain_does() -> None:
    program = [sys.executable, "-c", INTERPRETED]  # Triton's own functions read the variable when they are imported
    done = subprocess.run(program, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.stdout == "the same\n", done.stderr


def test_the_kernel_takes_what_a_block_of_threads_can_hold() -> None:
    from avcap.transport.one_launch import fits_one_launch

    assert fits_one_launch(torch.empty(1, 65, 128))
    assert not fits_one_launch(torch.empty(1, 65, 129))
    assert not fits_one_launch(torch.empty(1, 2, 2, dtype=torch.float64))


def test_the_kernel_compiles_for_a_card() -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from avcap.transport.one_launch import _iterate

    names = [*("score", "log_a", "log_b", "log_plan"), *("iterations", "n", "m")]
    kinds = dict.fromkeys(names[:4], "*fp32") | dict.fromkeys(names[4:], "i32")
    source = ASTSource(_iterate, {**kinds, "ROWS": "constexpr", "COLUMNS": "constexpr"}, {"ROWS": 32, "COLUMNS": 64})
    assert triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]


def test_where_the_kernel_does_not_run_the_log_domain_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("there is no C compiler")

    _iterations._runs.cache_clear()
    assert not _iterations._runs(torch.device("cpu"), broken)
    assert "there is no C compiler" in caplog.text
    assert quickest(torch.empty(1, 2, 2, device="meta"), uniform=True) is log_domain
