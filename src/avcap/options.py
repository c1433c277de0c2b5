"""Options that may be given several times."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def join_repeated(argv: Sequence[str], options: Collection[str]) -> list[str]:
    """Put the values of every option in ``options`` together, behind all else: ``--weights A x --weights B`` is ``x --weights A B``.

    Each time such an option takes the one word that follows it.
    """
    end = argv.index("--") if "--" in argv else len(argv)
    rest: list[str] = []
    values: dict[str, list[str]] = {}
    words = iter(argv[:end])
    for word in words:
        name, equals, value = word.partition("=")
        if name in options:
            values.setdefault(name, []).extend([value] if equals else [each for each in [next(words, None)] if each])
        else:
            rest.append(word)
    return [*rest, *(each for name, found in values.items() for each in (name, *found)), *argv[end:]]
