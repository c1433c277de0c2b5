"""Splitting captions into words: as the Penn Treebank does (Java), or plainly (Python).

Published scores use the PTB tokeniser of coco-caption. The plain one is for places where starting Java is too slow
(validation during training) or impossible; results name the one they used, because scores differ a little.
"""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

from avcap.metrics.jars import PTB_JAR, prepare_jars
from avcap.metrics.java import find_java
from avcap.metrics.ptb import ptb_split

log = logging.getLogger(__name__)

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


class Tokenizer(ABC):
    """Turns captions into lower-case words joined by single blanks, without punctuation."""

    name: str

    @abstractmethod
    def split(self, captions: Sequence[str]) -> list[str]:
        """Tokenise many captions at once, to strings whose words ``str.split`` gives back; empty for a caption without words."""


class PlainTokenizer(Tokenizer):
    """Words are runs of letters and digits, with inner apostrophes; hyphens split. No Java."""

    name = "plain"

    def split(self, captions: Sequence[str]) -> list[str]:
        """Tokenise many captions at once; see the base class."""
        return [" ".join(_WORD.findall(caption.lower())) for caption in captions]


class PtbTokenizer(Tokenizer):
    """The PTB tokeniser of CoreNLP 3.4.1 and the punctuation list of coco-caption (:mod:`avcap.metrics.ptb`).

    Raises:
        ValueError: If there is no Java that can run it.
    """

    name = "ptb"

    def __init__(self) -> None:
        java = find_java()
        if java.path is None:
            raise ValueError(f"The PTB tokeniser {java.reason}")
        self._java = java.path

    def split(self, captions: Sequence[str]) -> list[str]:
        """Tokenise many captions with one Java process; equal captions are sent once."""
        lines = [
            " ".join(caption.replace("|", " ").split()) for caption in captions
        ]  # METEOR and lines: no | and \\n inside
        unique = [line for line in dict.fromkeys(lines) if line]
        split = ptb_split(unique, java=self._java, jar=prepare_jars() / PTB_JAR)
        words = dict(zip(unique, split, strict=True))
        return [words.get(line, "") for line in lines]


def default_tokenizer() -> Tokenizer:
    """Return the PTB tokeniser if Java and its jar are installed, else the plain one."""
    try:
        prepare_jars()
        return PtbTokenizer()
    except (OSError, ValueError) as error:
        log.warning("Scores use the plain tokeniser and differ a little from published ones: %s", error)
        return PlainTokenizer()
