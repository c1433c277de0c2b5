"""BLEU-1 to BLEU-4 in plain Python, equal to coco-caption's (and so aac-metrics') on the same words.

Papineni, Roukos, Ward and Zhu, "BLEU: a method for automatic evaluation of machine translation", ACL 2002: the geometric
mean of the clipped n-gram precisions, times a penalty where the captions are shorter than the references.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from avcap.metrics.ngrams import ORDERS, Ngram, count_ngrams

_TINY, _SMALL = 1e-15, 1e-9  # coco-caption's, added above and below each fraction: 0 / 0 gives 0


class _Matches(NamedTuple):
    """What BLEU counts, of one clip or summed over all."""

    found: list[int]  # by order: n-grams of the caption that a reference has, each as often as there at most
    said: list[int]  # by order: n-grams of the caption
    words: int  # of the caption
    reference_words: int  # of the reference of the closest length; of the shorter one where two are as close


def bleu(captions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[list[float], list[list[float]]]:
    """Compute BLEU of one tokenised caption per clip (words joined by blanks), with the closest reference length.

    Returns:
        BLEU-1 to BLEU-4 of all clips, whose counts are summed first, and a list of the same for each clip.
    """
    clips = [_match(caption, several) for caption, several in zip(captions, references, strict=True)]
    total = _Matches(
        [sum(clip.found[n] for clip in clips) for n in range(ORDERS)],
        [sum(clip.said[n] for clip in clips) for n in range(ORDERS)],
        sum(clip.words for clip in clips),
        sum(clip.reference_words for clip in clips),
    )
    return _scores(total), [_scores(clip) for clip in clips]


def _match(caption: str, references: Sequence[str]) -> _Matches:
    """Compare a caption with its references."""
    most: dict[Ngram, int] = {}
    for reference in references:
        for ngram, count in count_ngrams(reference).items():
            most[ngram] = max(most.get(ngram, 0), count)
    found, words = [0] * ORDERS, len(caption.split())
    for ngram, count in count_ngrams(caption).items():
        found[len(ngram) - 1] += min(count, most.get(ngram, 0))
    closest = min(
        (len(reference.split()) for reference in references), key=lambda length: (abs(length - words), length)
    )
    return _Matches(found, [max(0, words - n) for n in range(ORDERS)], words, closest)


def _scores(matches: _Matches) -> list[float]:
    """Compute BLEU-1 to BLEU-4."""
    precisions = [(found + _TINY) / (said + _SMALL) for found, said in zip(matches.found, matches.said, strict=True)]
    ratio = (matches.words + _TINY) / (matches.reference_words + _SMALL)
    penalty = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    products = accumulate(precisions, lambda a, b: a * b)
    return [penalty * product ** (1 / order) for order, product in enumerate(products, start=1)]
