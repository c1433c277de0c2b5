"""Captions in the manner of AudioCaps: what is heard, who makes it, how often, how, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avcap.scenes.scene import Event, Scene

_USUAL = 0.42
"""Probability of the first of several phrases; the others share the rest."""

_DETAIL = 0.55
"""Probability that a caption says how often, or how far away; annotators do not say everything."""

_OMIT = 0.15
"""Probability that a caption leaves out the sound in the background."""

_TIMES = {1: ("once", "one time"), 2: ("twice", "two times"), 3: ("three times", "three times")}
_MANY = ("several times", "repeatedly")
_FAR = ("in the distance", "far away")


@dataclass(frozen=True)
class Clause:
    """One event in words.

    Args:
        subject: Who.
        finite: What it does ("barks").
        gerund: The same as a participle ("barking").
        tail: How often and how far, with a leading space, or nothing.
        be: "is" or "are".
    """

    subject: str
    finite: str
    gerund: str
    tail: str
    be: str

    @property
    def f(self) -> str:
        """A dog barks twice."""
        return f"{self.subject} {self.finite}{self.tail}"

    @property
    def g(self) -> str:
        """A dog barking twice."""
        return f"{self.subject} {self.gerund}{self.tail}"

    @property
    def p(self) -> str:
        """A dog is barking twice."""
        return f"{self.subject} {self.be} {self.gerund}{self.tail}"


TEMPLATES: dict[str, tuple[str, ...]] = {
    "single": ("{a.f}", "{a.p}", "{a.g}", "the sound of {a.g}"),
    "then": (
        "{a.f} and then {b.f}",
        "{a.f} followed by {b.g}",
        "{a.f}, then {b.f}",
        "{a.g} followed by {b.g}",
        "{b.f} after {a.f}",
    ),
    "while": (
        "{a.f} while {b.f}",
        "{a.f} as {b.f}",
        "{b.f} while {a.f}",
        "{a.f} with {b.g}",
        "{b.p} as {a.f}",
        "{a.g} and {b.g}",
    ),
    "background": (
        "{a.f} with {b.g} in the background",
        "{a.f} while {b.f} in the background",
        "{a.f} as {b.f} in the background",
        "{b.f} in the background while {a.f}",
        "{a.g} over {b.g}",
    ),
    "then_then": (
        "{a.f} and then {b.f} followed by {c.g}",
        "{a.f}, then {b.f}, and then {c.f}",
        "{a.f} followed by {b.g} and then {c.g}",
        "{a.f} before {b.f}, and then {c.f}",
    ),
    "then_background": (
        "{a.f} and then {b.f} with {c.g} in the background",
        "{a.f} followed by {b.g} while {c.f} in the background",
        "{a.f}, then {b.f} as {c.f} in the background",
        "{c.f} while {a.f} and then {b.f}",
    ),
}
"""Relation -> sentence frames, the usual one first; a, b, c are the clauses in order of telling."""


_WITHOUT_BACKGROUND = {"background": "single", "then_background": "then"}
"""The relation that is left when the sound in the background goes unsaid."""


def captions(scene: Scene, count: int = 1) -> list[str]:
    """Describe what is heard in a scene in ``count`` captions that differ: lower-case, without a full stop.

    Silent objects are not mentioned.
    """
    rng = scene.rng("captions")
    found: list[str] = []
    while len(found) < count:
        sentence = _sentence(rng, scene)
        if sentence not in found:
            found.append(sentence)
    return found


def _sentence(rng: np.random.Generator, scene: Scene) -> str:
    told, relation = scene.heard, scene.relation
    if relation in _WITHOUT_BACKGROUND and rng.random() < _OMIT:
        told, relation = told[:-1], _WITHOUT_BACKGROUND[relation]
    clauses = dict(zip("abc", [_clause(rng, event) for event in told], strict=False))
    return _pick(rng, TEMPLATES[relation]).format(**clauses)


def _pick(rng: np.random.Generator, phrases: Sequence[str]) -> str:
    """Draw one of several phrases, the first most often."""
    if len(phrases) == 1 or rng.random() < _USUAL:
        return phrases[0]
    return phrases[1 + rng.integers(len(phrases) - 1)]


def _clause(rng: np.random.Generator, event: Event) -> Clause:
    kind = event.of
    soft = event.distant or event.background
    verbs = [verb for verb in kind.manners[event.manner] if not (soft and "loud" in verb)]
    subjects = [subject for subject in kind.subjects if not (soft and "loud" in subject)]
    finite, gerund = _pick(rng, verbs).split("/")
    tail = ""
    if event.count is not None and rng.random() < _DETAIL:
        tail += " " + _pick(rng, _TIMES.get(event.count, _MANY))
    if event.distant and rng.random() < _DETAIL:
        tail += " " + _pick(rng, _FAR)
    return Clause(_pick(rng, subjects), finite, gerund, tail, "are" if kind.plural else "is")
