"""Text files of other people: their encoding is recognised, and what cannot be known is refused by line."""

from __future__ import annotations

import codecs
import logging
import re
from pathlib import Path

log = logging.getLogger(__name__)

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FOREIGN = re.compile(r"[^\x00-\x7f\u2010-\u2026\u20ac«»´·°]{3}")  # no Western European word has three in a row


def read_text(path: Path) -> str:
    """Read a text file as :func:`decode_text` does, and raise what it raises. A doubtful encoding is told in the log."""
    text, note = decode_text(path)
    if note:
        log.warning(note)
    return text


def decode_text(path: Path) -> tuple[str, str | None]:
    """Read a text file in UTF-8, in UTF-16 or UTF-32, or, with a note, in Windows' Western European encoding.

    Returns:
        The text, and a sentence about an encoding that is only likely; None where it is sure.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it is a folder, or cannot be read.
        ValueError: If it is no text; the message names the file, the line and the remedy.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file.")
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    data = path.read_bytes()
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _wide(data)
    note = None
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        text = "" if encoding else _western(data)
        if not text:
            name = (encoding or "utf-8").upper().removesuffix("-SIG")
            raise ValueError(f"{path}, line {line}: this is no text in {name}; save the file as UTF-8.") from None
        word = re.findall(r"\w*[^\x00-\x7f]\w*", text)[0]
        note = (
            f"{path} is not UTF-8 and is read as Western European (cp1252), {word!r} in line {line}; save it as UTF-8."
        )
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path}, line {line}: there is a NUL byte; the file is damaged or no text.")
    return text, note


def _wide(data: bytes) -> str | None:
    """Recognise UTF-16 without a mark by the zero bytes of its ASCII letters."""
    low, high = data[0::2].count(0), data[1::2].count(0)
    if len(data) % 2 or max(low, high) * 4 < len(data) // 2 or min(low, high) * 20 > len(data) // 2:
        return None
    return "utf-16-le" if high > low else "utf-16-be"


def _western(data: bytes) -> str:
    """Decode Western European text; nothing where it is another encoding, or damaged UTF-8."""
    if not data.decode("utf-8", "ignore").isascii():
        return ""
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return ""
    return "" if _FOREIGN.search(text) else text
