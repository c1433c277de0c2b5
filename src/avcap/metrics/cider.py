"""CIDEr-D in plain Python: quick enough for every validation epoch, and the ground of the constant-caption baseline.

Vedantam, Zitnick and Parikh, "CIDEr: Consensus-based Image Description Evaluation", CVPR 2015, section 4 and the "-D"
variant of section 6: tf-idf cosine over 1- to 4-grams with counts clipped to the reference, a Gaussian penalty on the
difference in length, times ten. Equal to coco-caption's (and so aac-metrics') on the same words.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from avcap.metrics.ngrams import ORDERS, Ngram, count_ngrams
from avcap.metrics.tokenise import PlainTokenizer

SIGMA = 6.0
SCALE = 10.0


class Vector(NamedTuple):
    """A caption as tf-idf weights."""

    weights: dict[Ngram, float]  # tf * idf; the n-grams of all orders
    norms: tuple[float, ...]  # Euclidean norm by order
    length: int  # coco-caption's length: the number of 2-grams


class CiderD:
    """CIDEr-D against fixed references, whose document frequencies are counted once.

    Args:
        references: For each clip its tokenised references: words joined by blanks.

    Raises:
        ValueError: If there are fewer than two clips (every n-gram would have weight zero), or a clip without reference.
    """

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        if len(references) < 2:
            raise ValueError(
                f"CIDEr-D weighs words by how many clips use them: it needs 2 clips or more, not {len(references)}"
            )
        if not all(references):
            raise ValueError("CIDEr-D needs at least one reference for every clip")
        counts = [[count_ngrams(reference) for reference in clip] for clip in references]
        frequency = Counter(ngram for clip in counts for ngram in set().union(*clip))
        self._log_clips = math.log(len(references))
        self._idf = {ngram: self._log_clips - math.log(count) for ngram, count in frequency.items()}
        self.references = [[self._weigh(reference) for reference in clip] for clip in counts]

    def vector(self, caption: str) -> Vector:
        """Compute the tf-idf weights of a tokenised caption; an n-gram in no reference counts as seen once."""
        return self._weigh(count_ngrams(caption))

    def scores(self, captions: Sequence[str], *, clips: Sequence[int] | None = None) -> list[float]:
        """Score one caption a clip, or any number.

        Args:
            captions: Tokenised captions.
            clips: For each caption the index of its clip; None: one a clip, in the order of the references.

        Returns:
            CIDEr-D of every caption (0 to 10); with one a clip, the corpus score is their mean.

        Raises:
            ValueError: If the numbers do not fit.
        """
        clips = range(len(self.references)) if clips is None else clips
        if len(captions) != len(clips):
            raise ValueError(f"CIDEr-D got {len(captions)} captions for {len(clips)} clips")
        return [
            SCALE * sum(similarity(vector, reference) for reference in clip) / len(clip)
            for vector, clip in zip(map(self.vector, captions), (self.references[i] for i in clips), strict=True)
        ]

    def _weigh(self, counts: Counter[Ngram]) -> Vector:
        """Turn n-gram counts into tf-idf weights."""
        squares, weights = [0.0] * ORDERS, {}
        for ngram, count in counts.items():
            weight = count * self._idf.get(ngram, self._log_clips)
            weights[ngram] = weight
            squares[len(ngram) - 1] += weight * weight
        length = sum(count for ngram, count in counts.items() if len(ngram) == 2)
        return Vector(weights, tuple(map(math.sqrt, squares)), length)


def similarity(caption: Vector, reference: Vector) -> float:
    """Compute the mean over the orders of the clipped cosine, times the length penalty: between 0 and 1."""
    dots = [0.0] * ORDERS
    for ngram, weight in caption.weights.items():
        other = reference.weights.get(ngram)
        if other is not None:
            dots[len(ngram) - 1] += min(weight, other) * other
    cosines = sum(d / (a * b) for d, a, b in zip(dots, caption.norms, reference.norms, strict=True) if a and b)
    return cosines / ORDERS * math.exp(-((caption.length - reference.length) ** 2) / (2 * SIGMA**2))


def cider_d(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Compute corpus CIDEr-D with the plain tokeniser, as used for model choice during training.

    Returns:
        The mean over the clips, not multiplied by 100.

    Raises:
        ValueError: If there are fewer than two clips, or the numbers differ.
    """
    split = PlainTokenizer().split
    scores = CiderD([split(clip) for clip in references]).scores(split(predictions))
    return sum(scores) / len(scores)
