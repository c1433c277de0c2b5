"""The kinds of sounds that a caption names, compared with those that are heard."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from avcap.scenes.kind import Kind
from avcap.scenes.kinds import KINDS, TABLE

_ARTICLE = re.compile(r"(?:a|an|the) ")


class Naming(NamedTuple):
    """Scores of the kinds of sound that captions name."""

    corpus: dict[str, float]  # named_recall, named_precision (means over clips), named_any (share of clips)
    clips: dict[str, dict[str, float]]  # id -> named_recall, named_precision


def words_of(kind: Kind) -> tuple[set[str], set[str]]:
    """Return the words by which a caption names a kind: its nouns without articles, and the first words of its verb phrases.

    How it sounds ("slowly", "loudly") and who exactly ("small", where the noun alone is a subject too) do not matter.
    """
    nouns = {_ARTICLE.sub("", subject, count=1) for subject in kind.subjects}
    verbs = {form.split()[0] for phrases in kind.manners.values() for phrase in phrases for form in phrase.split("/")}
    return nouns, verbs


def kinds_named(caption: str) -> set[str]:
    """Find the names of the kinds that a caption, in any case, names: one of their nouns, followed at once by one of their verbs."""
    found = _PATTERN.finditer(caption.lower())
    return {TABLE[match.lastindex - 1].name for match in found if match.lastindex}


def kinds_heard(events: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the kinds that sound in a clip of such events, without silent events and kinds that are not in the table."""
    return {event["kind"] for event in events if event["audio"] is not None and event.get("kind") in KINDS}


def naming_scores(captions: Mapping[str, str], events: Mapping[str, Iterable[Mapping[str, Any]]]) -> Naming:
    """Score how many of the kinds heard in each clip its caption names, and how many of those named are heard.

    Args:
        captions: Clip id -> caption.
        events: Clip id -> its events, of these clips at least.

    Returns:
        For each clip ``named_recall``, the share of the heard kinds that are named, and ``named_precision``, the share of the
        named kinds that are heard (0 where none is named); for all clips the means of both, and ``named_any``, the share of
        clips with at least one kind right.

    Raises:
        ValueError: if there is no caption, or nothing is known or heard of a clip.
    """
    if not captions:
        raise ValueError("There are no captions whose naming could be scored.")
    clips = {}
    for clip, caption in captions.items():
        heard = kinds_heard(events.get(clip, ()))
        if not heard:
            raise ValueError(f"The events have no sound of clip {clip}; give those of the same data set.")
        named = kinds_named(caption)
        right = len(named & heard)
        clips[clip] = {"named_recall": right / len(heard), "named_precision": right / len(named) if named else 0.0}
    corpus = {
        name: sum(scores[name] for scores in clips.values()) / len(clips)
        for name in ("named_recall", "named_precision")
    }
    corpus["named_any"] = sum(scores["named_recall"] > 0 for scores in clips.values()) / len(clips)
    return Naming(corpus, clips)


def _pattern() -> re.Pattern[str]:
    """Compile a pattern with one group per kind, in the order of the table: a noun, an optional form of "to be", a verb."""

    def either(words: Iterable[str]) -> str:
        return "|".join(map(re.escape, sorted(words)))

    groups = (f"((?:{either(nouns)}) (?:is |are )?(?:{either(verbs)}))" for nouns, verbs in map(words_of, TABLE))
    return re.compile(rf"\b(?:{'|'.join(groups)})\b")


_PATTERN = _pattern()
