"""Scores of n-best lists: the score of the best caption of each clip.

Labbé, Pellegrini and Pinquier, "Is my automatic audio captioning system so bad? SPIDEr-max: a metric to consider several
caption candidates", DCASE 2022: the highest SPIDEr of a clip's captions, averaged over the clips; here for every metric
that has a score for each caption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

from avcap.ids import id_hash, name_some
from avcap.metrics.evaluate import (
    Scores,
    check_ids,
    clip_scores,
    comparing,
    default_metrics,
    measure,
    tokenise_all,
    warn_left_out,
)
from avcap.metrics.tokenise import Tokenizer, default_tokenizer


def evaluate_nbest(
    candidates: Mapping[str, Sequence[str]],
    references: Mapping[str, Sequence[str]],
    *,
    metrics: Sequence[str] | None = None,
    tokenizer: Tokenizer | None = None,
) -> Scores:
    """Score the best of several captions a clip, each metric by itself.

    The references choose the caption, so this is an upper bound on what re-ranking could reach, and not to be compared
    with scores of one caption a clip.

    Args:
        candidates: Clip id to captions, at least one; with one a clip the scores are the means of the clips' scores.
        references: Clip id to reference captions; the same ids.
        metrics: Names out of ``metric_names()``; None means ``default_metrics()``. Those that do not compare captions with
            references (words, length) have no best and are passed over.
        tokenizer: As for ``evaluate``.

    Returns:
        For each metric ``<metric>_max``: the mean over the clips, and that of each clip.

    Raises:
        ValueError: As for ``evaluate``, or if a clip has no caption.
    """
    check_ids(candidates, references)
    if empty := sorted(clip for clip, captions in candidates.items() if not captions):
        raise ValueError(f"{len(empty)} clips have an empty list of captions: {name_some(empty)}")
    ids, tokenizer = sorted(references), tokenizer or default_tokenizer()
    names = comparing(default_metrics() if metrics is None else metrics)
    texts = tokenise_all([candidates[i] for i in ids], [references[i] for i in ids], tokenizer=tokenizer)
    found, left_out = measure(texts, names)
    warn_left_out(left_out)
    ends = list(accumulate((len(candidates[i]) for i in ids), initial=0))
    best = {
        f"{name}_max": [max(scores[start:end]) for start, end in pairwise(ends)]
        for name, scores in found.captions.items()
    }
    corpus = {name: sum(scores) / len(ids) for name, scores in best.items()}
    return Scores(corpus, clip_scores(ids, best), left_out, len(ids), id_hash(ids), tokenizer.name)
