"""Options that may be given several times."""

from __future__ import annotations

import pytest

from avcap.options import join_repeated


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        ("a.mp4 --w x --json --w y", "a.mp4 --json --w x y"),
        ("--w=x --w=y a.mp4", "a.mp4 --w x y"),
        ("--w x a.mp4 --c z", "a.mp4 --w x --c z"),
        ("a.mp4 --w", "a.mp4 --w"),
        ("--json a --other b", "--json a --other b"),
        ("--w x -- --w y", "--w x -- --w y"),
        ("", ""),
    ],
)
def test_the_values_of_an_option_come_together(words: str, joined: str):
    assert join_repeated(words.split(), {"--w", "--c"}) == joined.split()
