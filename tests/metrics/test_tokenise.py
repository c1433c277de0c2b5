from __future__ import annotations

import logging

from avcap.metrics import tokenise
from avcap.metrics.java import Java
from avcap.metrics.tokenise import PlainTokenizer, PtbTokenizer, default_tokenizer


def test_plain_words():
    split = PlainTokenizer().split(["A man's dog -- barks, twice!", "", "  ... ", "It’s 2 o'clock", "door_bell"])
    assert split == ["a man's dog barks twice", "", "", "it’s 2 o'clock", "door bell"]


def test_ptb_words_in_one_call_with_awkward_captions():
    captions = [
        "A man's dog -- barks, twice!",
        "",
        "...",
        "two\nlines\u2028here",
        "a café",
        "A man's dog -- barks, twice!",
    ]
    assert PtbTokenizer().split(captions) == [
        "a man 's dog barks twice",
        "",
        "",
        "two lines here",
        "a café",
        "a man 's dog barks twice",
    ]


def test_ptb_is_the_default_and_plain_without_java(monkeypatch, caplog):
    assert default_tokenizer().name == "ptb"
    monkeypatch.setattr(tokenise, "find_java", lambda: Java(None, "", "needs Java 8 to 13 (none found)"))
    with caplog.at_level(logging.WARNING):
        assert default_tokenizer().name == "plain"
    assert "needs Java 8 to 13" in caplog.text
