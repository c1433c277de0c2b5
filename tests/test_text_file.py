"""Encodings of text files: recognised, told where only likely, refused by line where unknown."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from avcap.text_file import decode_text, read_text

TEXT = "file_name,caption\na.wav,un café bruyant\nb.wav,“Noël” – créée à l’été\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_is_read_whatever_its_form(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.encode(encoding))
    assert decode_text(path) == (TEXT, None)


def test_western_european_text_is_read_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.encode("cp1252"))
    with caplog.at_level(logging.WARNING):
        assert read_text(path) == TEXT
    assert "a.csv is not UTF-8 and is read as Western European (cp1252), 'café' in line 2" in caplog.text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a,b\nx,собака лает\n".encode("cp1251"), "line 2: this is no text in UTF-8"),
        ("a,b\nx,一只狗在叫\n".encode("gbk"), "line 2: this is no text in UTF-8"),
        ("a,café\nb,x".encode() + b"\xe9\n", "line 2: this is no text in UTF-8"),  # damaged UTF-8
        (b"a,b\nx,\x81\n", "line 2: this is no text in UTF-8"),
        (b"\xff\xfea\x00\n\x00\x00\xd8b\x00", "this is no text in UTF-16"),
        (b"a,b\nx,y\x00z\n", "line 2: there is a NUL byte"),
    ],
)
def test_what_is_no_known_text_is_refused_by_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"a\.csv, line \d+.*{message.split(': ')[-1]}"):
        decode_text(path)
