"""Inputs of the fuzz: well-formed files with odd content, whose right reading is known, and what time and people do to files."""

from __future__ import annotations

import copy
import csv
import io
import json
from typing import Any

from hypothesis import strategies as st

# -- content --------------------------------------------------------------------------------------------------------

ODD = [
    "a, b",
    'say "so"',
    "two\nlines",
    "tab\there",
    "semi;colon",
    "pipe|bar",
    "'",
    '"',
    "\\",
    "%s",
    "{x}",
    "=1+1",
    "null",
]
ODD += ["é", "é", "犬が吠える", "‮right to left", "🐕", "﻿BOM", "a\u2028b", "NaN", "-", "#", "1e5", "../../x", "<b>"]
texts = st.one_of(
    st.sampled_from(["a dog barks", "rain falls on a roof while a man speaks"]),
    st.sampled_from(ODD),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30),
).filter(lambda text: bool(text.strip()))
youtube_ids = st.text("abcXYZ019-_", min_size=11, max_size=11)
starts = st.one_of(st.integers(0, 10_000), st.sampled_from([0.5, 20.25, 130.001]))
names = st.one_of(
    st.sampled_from(
        ["a.wav", " blank.wav", "é.wav", "é.wav", "-dash.mp4", "x/y.flac", "a b.wav", "1e5_30.wav", "NA_30.wav"]
    ),
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='/\\:*?"<>|'), min_size=1, max_size=12
    ).map(lambda name: f"{name}.wav"),
)
hostile_names = st.sampled_from(
    [
        "../out.wav",
        "../../../out.wav",
        "/tmp/out.wav",
        "a/../../b.wav",
        "..",
        ".",
        "",
        "~/x.wav",
        "a\0b.wav",
        "x" * 300,
        "C:\\x.wav",
    ]
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)


def plain(text: str) -> str:
    """A caption as any reader may give it: blanks at its ends, and their number within, may change."""
    return " ".join(text.split())


# -- well-formed files: bytes, and the captions that they hold --------------------------------------------------------

Captions = dict[str, list[str]]


class Perhaps(Captions):
    """Captions that a reader may refuse to read, with a sentence; but none other may come out."""


def recoded(draw: st.DrawFn, content: bytes, captions: Captions) -> tuple[bytes, Captions]:
    """The same text in another encoding; one without a mark may be refused."""
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    text = content.decode()
    if encoding == "cp1252":
        western = all("\xa0" <= letter <= "\xff" for letter in text if not letter.isascii())
        if not western or _is_utf8(text.encode(encoding)):
            return content, captions
    return text.encode(encoding), Perhaps(captions) if encoding == "cp1252" else captions


@st.composite
def youtube_rows(draw: st.DrawFn) -> list[tuple[str, float, list[str]]]:
    """Clips of AudioCaps: id, start, captions; no two are the same."""
    clips = draw(st.lists(st.tuples(youtube_ids, starts), min_size=1, max_size=4, unique_by=lambda clip: clip[0]))
    return [(name, start, draw(st.lists(texts, min_size=1, max_size=3))) for name, start in clips]


def clip_name(name: str, start: float) -> str:
    return f"{name}_{int(start)}" if float(start).is_integer() else f"{name}_{start}"


def _csv(rows: list[list[object]], delimiter: str = ",", ending: str = "\r\n") -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator=ending).writerows(rows)
    return file.getvalue().encode()


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


@st.composite
def audiocaps_csv(draw: st.DrawFn) -> tuple[bytes, Captions]:
    clips = draw(youtube_rows())
    rows: list[list[object]] = [["audiocap_id", "youtube_id", "start_time", "caption"]]
    rows += [[1000 + n, name, start, text] for n, (name, start, captions) in enumerate(clips) for text in captions]
    separator = draw(st.sampled_from([",", ",", ";", "\t"]))
    content = _csv(rows, separator, draw(st.sampled_from(["\n", "\r\n"])))
    return recoded(draw, content, {clip_name(name, start): captions for name, start, captions in clips})


@st.composite
def file_csv(draw: st.DrawFn) -> tuple[bytes, Captions]:
    files = draw(st.lists(names, min_size=1, max_size=4, unique_by=lambda name: plain(name).casefold()))
    several = draw(st.booleans())
    found: Captions = {}
    rows: list[list[object]] = [
        ["file_name", *(f"caption_{n}" for n in range(1, 4))] if several else ["file_name", "caption"]
    ]
    for name in files:
        captions = draw(st.lists(texts, min_size=3, max_size=3) if several else st.lists(texts, min_size=1, max_size=1))
        rows.append([name, *captions])
        found[name] = captions
    return recoded(draw, _csv(rows), found)


@st.composite
def unquoted_csv(draw: st.DrawFn) -> tuple[bytes, Captions]:
    """A caption with commas and without quotes, in the last column: joined or refused, never cut."""
    text = ",".join(draw(st.lists(st.sampled_from(["a dog", " a cat", " rain", "wind "]), min_size=2, max_size=4)))
    name, other = draw(youtube_ids), draw(youtube_ids)
    rows = f"youtube_id,start_time,caption\n{name},30,{text}\n{other},40,a bird sings\n"
    return rows.encode(), Perhaps({f"{name}_30": [text], f"{other}_40": ["a bird sings"]})


@st.composite
def wavcaps_json(draw: st.DrawFn) -> tuple[bytes, Captions]:
    clips = draw(st.lists(names.map(lambda name: name.rpartition("/")[2]), min_size=1, max_size=4, unique_by=_stem))
    captions = {name: draw(texts) for name in clips}
    data = [{"id": name, "caption": text, "duration": 9.5} for name, text in captions.items()]
    return _json(draw, {"num_captions_per_audio": 1, "data": data}), {_stem(name): [t] for name, t in captions.items()}


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


@st.composite
def lavcap_json(draw: st.DrawFn) -> tuple[bytes, Captions]:
    clips = draw(youtube_rows())
    rows = [
        {"youtube_id": name, "start_time": start, "caption": captions[0] if len(captions) == 1 else captions}
        for name, start, captions in clips
    ]
    content = draw(st.sampled_from([rows, {"data": rows}]))
    return _json(draw, content), {clip_name(name, start): captions for name, start, captions in clips}


@st.composite
def coco_json(draw: st.DrawFn) -> tuple[bytes, Captions]:
    ids = draw(st.lists(st.one_of(st.integers(0, 99), youtube_ids), min_size=1, max_size=4, unique_by=str))
    captions = {name: draw(st.lists(texts, min_size=1, max_size=3)) for name in ids}
    rows = [{"image_id": name, "id": n, "caption": text} for n, name in enumerate(ids) for text in captions[name]]
    return _json(draw, {"images": [{"id": name} for name in ids], "annotations": rows}), {
        str(name): value for name, value in captions.items()
    }


@st.composite
def caption_lines(draw: st.DrawFn, *, key: str = "caption", single: bool = True) -> tuple[bytes, Captions]:
    """JSONL with an id and ``key``: one caption, or a list."""
    ids = draw(st.lists(st.one_of(youtube_ids, texts), min_size=1, max_size=4, unique=True))
    captions = {name: draw(st.lists(texts, min_size=1, max_size=1 if single else 3)) for name in ids}
    lines = [{"id": name, key: value[0] if single else value} for name, value in captions.items()]
    text = "".join(json.dumps(line, ensure_ascii=draw(st.booleans())) + "\n" for line in lines)
    return text.encode(), captions


def _json(draw: st.DrawFn, content: object) -> bytes:
    return json.dumps(content, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1]))).encode()


# -- damage ---------------------------------------------------------------------------------------------------------

blow = st.tuples(
    st.sampled_from(["cut", "flip", "insert", "drop", "repeat", "zero", "number", "blank"]),
    st.floats(0, 1),
    st.one_of(
        st.binary(min_size=1, max_size=8), st.sampled_from([b'"', b",", b"\n", b"\0", b"{", b"]", b"\xff\xfe", b"nan"])
    ),
)


def damage(content: bytes, blows: list[tuple[str, float, bytes]]) -> bytes:
    """Cut, flip, insert, drop, repeat and zero parts of a file, or set the bytes of a number in it."""
    for kind, where, payload in blows:
        at = int(where * len(content))
        span = at + 1 + len(payload) ** 2
        if kind == "cut":
            content = content[:at]
        elif kind == "flip":
            content = (
                content[:at] + bytes(b ^ 255 for b in content[at : at + len(payload)]) + content[at + len(payload) :]
            )
        elif kind == "insert":
            content = content[:at] + payload + content[at:]
        elif kind == "drop":
            content = content[:at] + content[span:]
        elif kind == "repeat":
            content = content[:span] + content[at:]
        elif kind == "zero":
            content = content[:at] + bytes(len(content[at:span])) + content[span:]
        elif kind == "number":  # a field of a header
            content = content[: at & ~3] + payload[:1] * 4 + content[(at & ~3) + 4 :]
        else:
            content = content.replace(b",", b" , ", 1 + at % 3)
    return content


@st.composite
def damaged(draw: st.DrawFn, files: st.SearchStrategy[tuple[bytes, Any]]) -> tuple[bytes, Any]:
    """A file with some blows; what it should give is unknown."""
    content, _ = draw(files)
    return damage(content, draw(st.lists(blow, min_size=1, max_size=3))), None


@st.composite
def retyped(draw: st.DrawFn, files: st.SearchStrategy[tuple[bytes, Any]], *, lines: bool = False) -> tuple[bytes, Any]:
    """A JSON file (or the lines of one) in which a value is of another type, or a key is gone or twice."""
    content, _ = draw(files)
    tree = [json.loads(line) for line in content.splitlines()] if lines else json.loads(content)
    for _ in range(draw(st.integers(1, 2))):
        tree = retype(draw, tree)
    if lines:
        rows = tree if isinstance(tree, list) else [tree]
        return "".join(json.dumps(row) + "\n" for row in rows).encode(), None
    return json.dumps(tree).encode(), None


def retype(draw: st.DrawFn, tree: Any) -> Any:
    """Walk down to a random node and replace, delete or double it."""
    tree = copy.deepcopy(tree)
    parent, key, node = None, None, tree
    while isinstance(node, dict | list) and node and draw(st.integers(0, 4)):
        parent, key = (
            node,
            draw(st.sampled_from(list(node))) if isinstance(node, dict) else draw(st.integers(0, len(node) - 1)),
        )
        node = node[key]
    if parent is None:
        return draw(json_values)
    what = draw(st.sampled_from(["replace", "replace", "delete", "double"]))
    if what == "replace":
        parent[key] = draw(json_values)
    elif what == "delete":
        del parent[key]
    elif isinstance(parent, list):
        parent.append(copy.deepcopy(node))
    else:
        parent[f"{key}{key}"] = node
    return tree
