"""Captions in tables: CSVs with commas, semicolons, tabs or ``|``, a header, and one or several captions a row."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from avcap.captions.entry import (
    MEDIA_SUFFIX,
    Entry,
    EntryList,
    checked_file,
    counted,
    is_seconds,
    joined,
    stem_of,
    tell_apart,
    youtube_entry,
)
from avcap.ids import name_some

_FILE_COLUMNS = ("file_name", "filename", "path", "file")
_CLIP_COLUMNS = ("youtube_id", "start_time")
_NUMBERED = re.compile(r"caption_\d+$")
_LIKE_CAPTION = ("captions", "text", "description", "sentence", "transcript")
_YOUTUBE_ID = re.compile(r"[\w-]{11}$", re.ASCII)
_BREAK = re.compile(r"\s*[\r\n]+\s*")
_TOLD = {  # what is said of one row, and of several
    "broken": ("a row was broken over lines and is joined", "{} rows were broken over lines and are joined"),
    "unquoted": (
        "a caption has commas but no quotes and is kept whole",
        "{} captions have commas but no quotes and are kept whole",
    ),
    "header": ("the header comes again and is skipped", "the header comes {} times again and is skipped"),
    "quote": (
        "a quote in a field without quotes is kept as a letter",
        "quotes in fields without quotes are kept as letters in {} rows",
    ),
    "fewer": ("a row has an empty caption beside others", "{} rows have empty captions beside others"),
    "wordless": ("a caption has no letter", "captions have no letter in {} rows"),
    "whole": (
        "a row has no start_time and means its whole file",
        "{} rows have no start_time and mean their whole files",
    ),
    "unlike": (
        "a youtube_id has not the 11 letters of the others",
        "{} youtube_ids have not the 11 letters of the others",
    ),
}


def read_table(path: Path, text: str) -> EntryList:
    """Read a table of captions.

    A row that is broken over lines is joined, and so are commas in a caption without quotes, where the caption is the last
    column and the rest of the row is what it should be. The notes count these rows, and those that may be wrong: with stray quotes, with
    fewer captions than the table has columns for, unlike the others. Every other row that does not fit is refused.

    Args:
        path: The file, for messages; a path in it that begins with ``/`` must lie in the file's folder.
        text: Its content.

    Raises:
        ValueError: if a column is missing or comes twice, or a row cannot be understood; the message names the line.
    """
    table = _Table.open(path, text)
    rows = list(table.rows())
    entries = [table.entry(row) for row in rows]
    table.compare(rows, entries)
    if table.file is not None:
        _refuse_odd(path, rows, entries)
        tell_apart(path, entries)
    return EntryList(joined(entries), table.notes())


@dataclass
class _Row:
    line: int
    fields: list[str]
    raw: str


@dataclass
class _Table:
    """A table, and the places of its columns."""

    path: Path
    lines: list[str]
    head: int  # lines that come before the rows
    separator: str
    columns: list[str]
    captions: list[int]
    file: int | None
    spaced: bool  # whether a blank follows the separators
    spare: int  # columns without a name at the end, as spreadsheets write them
    clip: tuple[int, int] | None  # youtube_id and start_time
    found: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # key of _TOLD -> lines

    @classmethod
    def open(cls, path: Path, text: str) -> _Table:
        """Find the header and what separates its columns."""
        lines = io.StringIO(text.lstrip("\ufeff"), newline="").readlines()
        head = next((n for n, line in enumerate(lines) if line.strip()), None)
        if head is None:
            raise ValueError(f"{path} is empty.")
        told = re.match(r"sep=(.)\s*$", lines[head])  # a line for Excel
        head += 1 if told and head + 1 < len(lines) else 0
        separators = [told[1]] if told else [",", ";", "\t", "|"]
        names = {mark: _split(lines[head], mark) for mark in separators}
        separator = max(separators, key=lambda mark: sum(_known(name) for name in names[mark]))
        raw = names[separator]
        named = max((k + 1 for k, name in enumerate(raw) if name.strip()), default=0)
        raw, spare = raw[:named], len(raw) - named
        columns = [name.strip().lower() for name in raw]
        captions = [k for k, name in enumerate(columns) if name == "caption" or _NUMBERED.match(name)]
        file = next((columns.index(name) for name in _FILE_COLUMNS if name in columns), None)
        clip = None
        if all(name in columns for name in _CLIP_COLUMNS):
            clip = (columns.index("youtube_id"), columns.index("start_time"))
        if not captions or (file is None and clip is None):
            raise ValueError(f"{path} {_lacks([name.strip() for name in raw], columns, bool(captions), file)}")
        used = [columns[k] for k in (*captions, *(clip or ()), *([] if file is None else [file]))]
        if double := [name for name in used if columns.count(name) > 1]:
            raise ValueError(
                f"{path}, line {head + 1}: the column {double[0]} comes twice; name several captions caption_1, caption_2, ..."
            )
        return cls(path, lines, head + 1, separator, columns, captions, file, raw[-1].startswith(" "), spare, clip)

    def rows(self) -> Iterator[_Row]:
        """Yield the rows with all their fields, mended where there is one way to do so."""
        last: _Row | None = None
        for row in self._records():
            empty = not any(text.strip() for text in row.fields)
            if empty and len(row.fields) in (0, 1, len(self.columns), len(self.columns) + self.spare):
                continue
            if [text.strip("\ufeff ").lower() for text in row.fields] == self.columns:
                self.found["header"].append(f"line {row.line}")
            elif last is not None and (rest := self._rest(row, last)):
                last.fields[-1] = f"{last.fields[-1].rstrip()} {rest}".strip()
                self.found["broken"].append(f"line {row.line}")
            else:
                if last is not None:
                    yield last
                last = self._fitted(row)
        if last is not None:
            yield last

    def entry(self, row: _Row) -> Entry:
        """Read a row."""
        where = f"{self.path}, line {row.line}"
        texts = [_BREAK.sub(" ", row.fields[k].strip()) for k in self.captions]
        captions = [text for text in texts if text]
        if not captions:
            raise ValueError(f"{where}: the caption is empty; write one or take the row out.")
        if any(not any(map(str.isalpha, text)) for text in captions):
            self.found["wordless"].append(f"line {row.line}")
        if len(captions) < len(texts):
            self.found["fewer"].append(f"line {row.line}")
        if any('"' in text and f'"{text.replace(chr(34), chr(34) * 2)}"' not in row.raw for text in row.fields):
            self.found["quote"].append(f"line {row.line}")
        if self.file is None:
            assert self.clip is not None  # noqa: S101 (a table has one or the other)
            return youtube_entry(where, row.fields[self.clip[0]], row.fields[self.clip[1]], captions)
        name = row.fields[self.file].lstrip() if self.spaced else row.fields[self.file]
        file = checked_file(where, self.columns[self.file], name, self.path.parent)
        start = row.fields[self.columns.index("start_time")].strip() if "start_time" in self.columns else ""
        if start and not is_seconds(start):
            raise ValueError(f"{where}: start_time {start!r} is not a number of seconds; write one, such as 30.")
        return Entry(stem_of(file), captions, file=file, start=float(start) if start else None)

    def notes(self) -> list[str]:
        """Return what was mended, and what may be wrong."""
        return [note for kind, told in _TOLD.items() for note in counted(self.path, self.found[kind], *told)]

    def compare(self, rows: list[_Row], entries: list[Entry]) -> None:
        """Note the rows that are unlike most others: without a start among some with one, or with another sort of id."""
        lines = [f"line {row.line}" for row in rows]
        unstarted = [line for line, entry in zip(lines, entries, strict=True) if entry.start is None]
        odd = [line for line, e in zip(lines, entries, strict=True) if not _YOUTUBE_ID.match(e.youtube_id or "")]
        self.found["whole"] += unstarted if len(unstarted) < len(lines) else []
        self.found["unlike"] += odd if self.file is None and 2 * len(odd) < len(lines) else []

    def _records(self) -> Iterator[_Row]:
        reader = csv.reader(iter(self.lines[self.head :]), delimiter=self.separator, strict=True)
        while True:
            line = self.head + reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise ValueError(f"{self.path}, line {line}: {_reason(error)}") from error
            raw = "".join(self.lines[line - 1 : self.head + reader.line_num])
            later = raw.splitlines()[1:]
            if any(self._begins(_split(text, self.separator)) for text in later):
                raise ValueError(
                    f"{self.path}, line {line}: a quote is opened here and the next rows are in it; close it."
                )
            if later and any(re.search(r"[\r\n]", text) for text in fields):
                self.found["broken"].append(f"line {line}")
            yield _Row(line, fields, raw)

    def _fitted(self, row: _Row) -> _Row:
        """Return a row with as many fields as there are columns, or refuse it."""
        wanted, given = len(self.columns), len(row.fields)
        if given == wanted + self.spare and not any(text.strip() for text in row.fields[wanted:]):
            del row.fields[wanted:]
        elif given > wanted and self._last and '"' not in row.raw and self._one_caption(row.fields):
            row.fields[wanted - 1 :] = [row.raw.rstrip("\r\n").split(self.separator, wanted - 1)[-1]]
            self.found["unquoted"].append(f"line {row.line}")
        elif given != wanted:
            remedy = (
                f"a caption with {self.separator!r} needs quotes" if given > wanted else "write all of them in one line"
            )
            raise ValueError(f"{self.path}, line {row.line}: there are {given} fields and {wanted} columns; {remedy}.")
        return row

    @property
    def _last(self) -> bool:
        """Whether the one caption is the last column."""
        return self.captions == [len(self.columns) - 1]

    def _one_caption(self, fields: list[str]) -> bool:
        """Return whether the fields from the last column on can be nothing but one caption."""
        rest = [text.strip() for text in fields[len(self.columns) - 1 :]]
        return self._begins(fields) and not any(MEDIA_SUFFIX.search(text) or is_seconds(text) for text in rest)

    def _begins(self, fields: list[str]) -> bool:
        """Return whether fields are the beginning of a row: whether all that names a clip is there and is right."""
        if self.file is not None:
            return len(fields) > self.file and MEDIA_SUFFIX.search(fields[self.file].strip()) is not None
        assert self.clip is not None  # noqa: S101
        name, start = self.clip
        return len(fields) > max(self.clip) and is_seconds(fields[start]) and " " not in fields[name].strip()

    def _rest(self, row: _Row, last: _Row) -> str:
        """Return a row that is the rest of the caption before it; nothing if it can be a row of its own."""
        padded = self.file is None and len(row.fields) >= len(self.columns) and not any(map(str.strip, row.fields[1:]))
        quoted = '"' in row.raw or last.raw.rstrip().endswith('"')
        if not self._last or (quoted and not padded):
            return ""
        short = padded or len(row.fields) < len(self.columns)
        if self.file is not None:
            whole = not self._begins(last.fields) or any(MEDIA_SUFFIX.search(text.strip()) for text in row.fields)
        else:
            assert self.clip is not None  # noqa: S101
            name, start = (row.fields[k].strip() if k < len(row.fields) else "" for k in self.clip)
            first = row.fields[0].strip()
            ids = bool(_YOUTUBE_ID.match(name) or _YOUTUBE_ID.match(first) or first.isdecimal())
            whole = ids or (is_seconds(start) and " " not in name)
            short = short or " " in name
        if whole or not short:
            return ""
        return row.fields[0].strip() if padded else row.raw.strip()


def _refuse_odd(path: Path, rows: list[_Row], entries: list[Entry]) -> None:
    """Refuse a file without a suffix among files with one: it may be the rest of a broken row."""
    odd = [k for k, entry in enumerate(entries) if entry.file and not MEDIA_SUFFIX.search(entry.file.strip())]
    if odd and len(odd) * 2 < len(entries):
        raise ValueError(
            f"{path}, line {rows[odd[0]].line}: the file {entries[odd[0]].file!r} has no suffix, unlike the others; add it,"
            " or put the caption of the row before in quotes if that row is broken."
        )


def _split(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def _known(name: str) -> bool:
    name = name.strip().lower()
    return name in (*_FILE_COLUMNS, *_CLIP_COLUMNS, "caption") or _NUMBERED.match(name) is not None


def _lacks(names: list[str], columns: list[str], captions: bool, file: int | None) -> str:
    missing = [] if captions else ["caption (or caption_1 ... caption_5)"]
    if file is None:
        missing += [name for name in _CLIP_COLUMNS if name not in columns]
    like = next((name for name in _LIKE_CAPTION if not captions and name in columns), None)
    return (
        f"lacks the column {' and '.join(missing)}; it has {name_some(names, at_most=10) or 'no columns'}"
        " (a clip is named by youtube_id and start_time, or by file_name)"
        f"{f'; rename {names[columns.index(like)]} to caption' if like else ''}."
    )


def _reason(error: csv.Error) -> str:
    if "field larger" in str(error):
        return f"a field is longer than {csv.field_size_limit():,} characters; close the quote that is open, or shorten it."
    if "unexpected end" in str(error):
        return "a quote is opened and never closed; close it."
    if "expected after" in str(error):
        return 'there is text after a closing quote; write "" for a quote in a caption.'
    return f"this is no row of a CSV ({error}); mend it."
