"""Counting n-grams, which BLEU and CIDEr-D both build on."""

from __future__ import annotations

from collections import Counter

ORDERS = 4
"""BLEU and CIDEr-D look at 1- to 4-grams."""

Ngram = tuple[str, ...]


def count_ngrams(caption: str) -> Counter[Ngram]:
    """Count the 1- to 4-grams of a tokenised caption."""
    words = caption.split()
    return Counter(tuple(words[i : i + n]) for n in range(1, ORDERS + 1) for i in range(len(words) - n + 1))


def repeats(caption: str, *, order: int = 3) -> bool:
    """Return whether a tokenised caption repeats a sequence of ``order`` words."""
    words = caption.split()
    runs = [tuple(words[i : i + order]) for i in range(len(words) - order + 1)]
    return len(set(runs)) < len(runs)
