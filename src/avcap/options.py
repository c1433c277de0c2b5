"""Options that may be given several times."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def join_repeated(argv: Sequence[str], options: Collection[str]) -> list[str]:
    """Put the values of every option in ``options`` behind its first place: ``--weights A --weights B`` is ``--weights A B``."""
    joined: list[str] = []
    values: dict[str, list[str]] = {}
    current: list[str] | None = None
    for place, word in enumerate(argv):
        if word == "--":
            return [*_unfolded(joined, values), *argv[place:]]
        name, equals, value = word.partition("=")
        if name in options:
            if name not in values:
                joined.append(name)
            current = values.setdefault(name, [])
            if equals:
                current.append(value)
                current = None
        elif current is not None and not word.startswith("--"):
            current.append(word)
        else:
            current = None
            joined.append(word)
    return _unfolded(joined, values)


def _unfolded(words: Sequence[str], values: dict[str, list[str]]) -> list[str]:
    return [each for word in words for each in (word, *values.get(word, ()))]
