"""File names that are made of ids."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from avcap.ids import file_name


def test_names_are_readable() -> None:
    names = ["7fmOlUlwoNg_20", "-abcDEF-123_30", "dog/1", "..", "../x", "café é", "", "CON:x", "a%2Fb", "x.wav", " a"]
    assert [file_name(name) for name in names] == [
        "7fmOlUlwoNg_20",
        "%2DabcDEF-123_30",
        "dog%2F1",
        "%2E%2E",
        "%2E.%2Fx",
        "café é",
        "%",
        "CON%3Ax",
        "a%252Fb",
        "x.wav",
        "%20a",
    ]


@settings(deadline=None)
@given(st.lists(st.text(), min_size=2, max_size=2, unique=True))
def test_two_ids_never_have_one_name(ids: list[str]) -> None:
    assert len({file_name(name) for name in ids}) == 2


@settings(deadline=None)
@given(st.text(alphabet=st.characters(), max_size=400) | st.text(alphabet="./\\-% a", max_size=400))
def test_a_name_is_one_plain_file(clip: str) -> None:
    path = Path("/folder") / f"{file_name(clip)}.npy"
    assert path.parent == Path("/folder")
    assert path.resolve() == path
    assert len(path.name.encode()) <= 255
    assert path.name[0] not in ".-"


def test_very_long_ids_stay_apart() -> None:
    assert file_name("é" * 500) != file_name("é" * 501)
    assert len(file_name("é" * 500).encode()) < 205
