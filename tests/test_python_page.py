"""Every block of docs/python.md runs as it is printed, on a small trained captioner."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
SAID = re.compile(r"print\((.+)\)  # (torch\.Size\(\[[\d, ]+\]\))")


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.strip().splitlines()[-1][:40])
def test_the_page_runs(block: str, tiny_run: Path, demo_root: Path, capsys: pytest.CaptureFixture[str]):
    file = next((demo_root / "videos").rglob("*.mp4"))
    code = block.replace("runs/demo/checkpoints/best.ckpt", str(tiny_run / "checkpoints" / "last.ckpt"))
    exec(compile(code.replace("data/demo/videos/test/clip.mp4", str(file)), str(PAGE), "exec"), {})
    printed = capsys.readouterr().out
    for _, shape in SAID.findall(block):
        assert shape in printed
    assert printed.strip()
