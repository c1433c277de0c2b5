"""JSON lines: written whatever a name holds, read with the line of each fault."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from avcap.jsonl import read_json_lines, write_json_lines


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = [{"id": "café\u2028é\u0085", "n": 1.5}, {"file": os.fsdecode(b"caf\xe9.wav"), "x": None}, {"": "\n\r\t"}]
    write_json_lines(tmp_path / "a.jsonl", rows)
    assert [number for number, _ in read_json_lines(tmp_path / "a.jsonl")] == [1, 2, 3]
    assert [row for _, row in read_json_lines(tmp_path / "a.jsonl")] == rows


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_and_blank_lines_are_read_over(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.jsonl").write_bytes('{"id": "é"}\r\n\r\n{"id": 2}\r\n'.encode(encoding))
    assert list(read_json_lines(tmp_path / "a.jsonl")) == [(1, {"id": "é"}), (3, {"id": 2})]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"id": 1', "not valid JSON"),
        (b"3", "expected an object"),
        (b'{"id": 1, "id": 2}', "the field id comes twice"),
        (b'{"id": "\\ud83d"}', "half a character"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"id": "\x00"}', "NUL byte"),
        (b'{"id": "\xff\x81"}', "no text in UTF-8"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, line: bytes, message: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"id": 1}\n' + line + b"\n")
    with pytest.raises(ValueError, match=rf"a\.jsonl, line 2: .*{message}"):
        list(read_json_lines(tmp_path / "a.jsonl"))
