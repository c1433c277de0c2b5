"""Bounds of a score: the human bound, and the best constant caption."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from avcap.ids import name_some
from avcap.metrics.cider import SCALE, SIGMA, CiderD, Vector
from avcap.metrics.evaluate import Scores, evaluate
from avcap.metrics.ngrams import ORDERS, Ngram
from avcap.metrics.tokenise import PlainTokenizer, Tokenizer


class ConstantCaption(NamedTuple):
    """The best single caption, and what it scores when it is given to every clip."""

    caption: str
    scores: Scores


def human_bound(
    references: Mapping[str, Sequence[str]],
    *,
    leave_one_out: bool = False,
    metrics: Sequence[str] | None = None,
    tokenizer: Tokenizer | None = None,
) -> Scores:
    """Score the first reference caption of every clip against the clip's others.

    Args:
        references: Clip id to reference captions, at least two each.
        leave_one_out: Score the second, third, ... reference against the others as well, and give the mean. Steadier,
            and as many times slower; uses as many references as the clip with the fewest has.
        metrics: Names out of ``metric_names()``; None means ``default_metrics()``.
        tokenizer: As for ``evaluate``.

    Returns:
        The scores of people. Models score against one reference more, so a model slightly above is no better than people.

    Raises:
        ValueError: If a clip has fewer than two references.
    """
    if alone := sorted(i for i, captions in references.items() if len(captions) < 2):
        raise ValueError(
            f"the human bound needs 2 references a clip or more; {len(alone)} have fewer: {name_some(alone)}"
        )
    rounds = min(map(len, references.values()), default=0) if leave_one_out else 1
    results = [
        evaluate(
            {i: captions[k] for i, captions in references.items()},
            {i: [*captions[:k], *captions[k + 1 :]] for i, captions in references.items()},
            metrics=metrics,
            tokenizer=tokenizer,
        )
        for k in range(max(rounds, 1))
    ]
    first = results[0]
    return first._replace(
        corpus={name: float(np.mean([r.corpus[name] for r in results])) for name in first.corpus},
        clips={
            clip: {name: float(np.mean([r.clips[clip][name] for r in results])) for name in scores}
            for clip, scores in first.clips.items()
        },
    )


def constant_caption(
    candidates: Sequence[str],
    references: Mapping[str, Sequence[str]],
    *,
    chosen_on: Mapping[str, Sequence[str]] | None = None,
    metrics: Sequence[str] | None = None,
    tokenizer: Tokenizer | None = None,
) -> ConstantCaption:
    """Find the caption with the highest CIDEr-D when every clip gets it, and score it.

    The caption is the candidate with the highest corpus CIDEr-D (plain tokeniser) when given to every clip. It is
    exact: every candidate is tried.

    Args:
        candidates: Captions to choose from, normally all training captions.
        references: Clip id to reference captions: what the chosen caption is scored against.
        chosen_on: References to choose the caption by, for instance those of the validation clips. None chooses by
            ``references`` themselves: then no single candidate can do better, a baseline stronger than any honest one.
        metrics: Names out of ``metric_names()``; None means ``default_metrics()``.
        tokenizer: As for ``evaluate``, for the scores.

    Returns:
        The caption as written, and its scores.

    Raises:
        ValueError: If there is no candidate, or there are fewer than two clips to choose by.
    """
    if not candidates:
        raise ValueError("the constant-caption baseline needs at least one caption to choose from")
    split = PlainTokenizer().split
    judges = [split(clip) for clip in (references if chosen_on is None else chosen_on).values()]
    unique = list(dict.fromkeys(candidates))
    best = unique[int(np.argmax(constant_scores(split(unique), judges)))]
    scores = evaluate(dict.fromkeys(references, best), references, metrics=metrics, tokenizer=tokenizer)
    return ConstantCaption(best, scores)


def constant_scores(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """Compute the corpus CIDEr-D ``[candidates]`` of each tokenised candidate as the caption of every clip.

    Sums over all references are made once, per n-gram and reference length (the length penalty depends on it); a
    candidate then costs one small product, however many references there are. Equal to the mean of
    ``CiderD(references).scores([candidate] * clips)``.
    """
    cider = CiderD(references)
    table = _ReferenceTable(cider)
    return np.array([table.score(cider.vector(candidate)) for candidate in candidates])


class _ReferenceTable:
    """For an n-gram: the mean over clips of ``min(weight, r) * r / |r|``, by length of the reference."""

    def __init__(self, cider: CiderD) -> None:
        clips = cider.references
        self._longest = max(vector.length for clip in clips for vector in clip)
        self._postings: dict[Ngram, list[tuple[float, float, int]]] = defaultdict(list)
        for clip in clips:
            share = 1 / (len(clip) * len(clips))
            for vector in clip:
                for ngram, weight in vector.weights.items():
                    if norm := vector.norms[len(ngram) - 1]:
                        self._postings[ngram].append((weight, share * weight / norm, vector.length))
        self._rows: dict[tuple[Ngram, float], np.ndarray] = {}

    def score(self, caption: Vector) -> float:
        """Compute the corpus score of one caption given to every clip."""
        known = [(ngram, weight) for ngram, weight in caption.weights.items() if ngram in self._postings and weight]
        if not known:
            return 0.0
        scale = np.array([1 / caption.norms[len(ngram) - 1] for ngram, _ in known])
        rows = np.stack([self._row(ngram, weight) for ngram, weight in known])  # [n-grams, lengths]
        penalty = np.exp(-((np.arange(self._longest + 1) - caption.length) ** 2) / (2 * SIGMA**2))
        return float(SCALE / ORDERS * (scale @ rows @ penalty))

    def _row(self, ngram: Ngram, weight: float) -> np.ndarray:
        """Return sums by length ``[lengths]`` for an n-gram of the given weight, computed on first use."""
        key = (ngram, weight)
        if key not in self._rows:
            weights, shares, lengths = np.array(self._postings[ngram]).T
            clipped = np.minimum(weights, weight) * shares
            self._rows[key] = np.bincount(lengths.astype(int), weights=clipped, minlength=self._longest + 1)
        return self._rows[key]
