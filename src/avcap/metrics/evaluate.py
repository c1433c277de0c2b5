"""Scoring captions against references: every metric that can be computed here, and the reason for those that cannot."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from avcap.ids import id_hash, name_some
from avcap.metrics.scorer import ScoreSet, Texts
from avcap.metrics.scorers import all_scorers
from avcap.metrics.tokenise import Tokenizer, default_tokenizer

log = logging.getLogger(__name__)


class Scores(NamedTuple):
    """Scores of captions, with their clips and the tokeniser."""

    corpus: dict[str, float]  # metric -> score of all clips, not multiplied by 100
    clips: dict[str, dict[str, float]]  # id -> metric -> score of that clip
    left_out: dict[str, str]  # metric -> why it was not computed
    clip_count: int
    id_hash: str  # of the clip ids, see avcap.ids.id_hash
    tokenizer: str  # "ptb" or "plain"


def metric_names() -> list[str]:
    """Return every metric name, in the order of results tables."""
    return [name for scorer in all_scorers() for name in scorer.names]


def default_metrics() -> list[str]:
    """Return the metrics that are computed where none are named: all but those on request."""
    return [name for scorer in all_scorers() if not scorer.on_request for name in scorer.names]


def comparing(names: Iterable[str]) -> list[str]:
    """Return the metrics that compare captions with references, in the order given; the others only count words."""
    counting = {name for scorer in all_scorers() if not scorer.compares for name in scorer.names}
    return [name for name in names if name not in counting]


def available() -> dict[str, str | None]:
    """Return for every metric None if it can be computed on this machine, else the reason and the remedy."""
    return {name: reason for scorer in all_scorers() for reason in [scorer.why_not()] for name in scorer.names}


def evaluate(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    *,
    metrics: Sequence[str] | None = None,
    tokenizer: Tokenizer | None = None,
) -> Scores:
    """Score one caption a clip against the clip's references.

    A metric that cannot be computed here is left out and named with the reason, in the result and in one warning.

    Args:
        predictions: Clip id to caption.
        references: Clip id to reference captions; the same ids.
        metrics: Names out of ``metric_names()``; None means ``default_metrics()``.
        tokenizer: How to split captions into words; None means PTB where Java is there, else plain.

    Returns:
        Corpus and per-clip scores, and what they were computed on.

    Raises:
        ValueError: If an id is missing or unknown, a clip has no reference, there is no clip, or a metric is unknown.
    """
    check_ids(predictions, references)
    ids, tokenizer = sorted(references), tokenizer or default_tokenizer()
    texts = tokenise_all([[predictions[i]] for i in ids], [references[i] for i in ids], tokenizer=tokenizer)
    found, left_out = measure(texts, default_metrics() if metrics is None else metrics)
    warn_left_out(left_out)
    return Scores(found.corpus, clip_scores(ids, found.captions), left_out, len(ids), id_hash(ids), tokenizer.name)


def check_ids(predictions: Iterable[str], references: Mapping[str, Sequence[str]]) -> None:
    """Raise a ValueError that names up to five ids unless predictions and references have the same ids.

    Raises:
        ValueError: If an id has no prediction or no reference, or if there is no clip at all.
    """
    predicted = set(predictions)
    if not references:
        raise ValueError("there are no references to score against")
    if missing := sorted(set(references) - predicted):
        raise ValueError(f"{len(missing)} of {len(references)} clips have no prediction: {name_some(missing)}")
    if unknown := sorted(predicted - set(references)):
        raise ValueError(f"{len(unknown)} predictions are of clips without references: {name_some(unknown)}")
    if bare := sorted(i for i, captions in references.items() if not captions):
        raise ValueError(f"{len(bare)} clips have an empty list of references: {name_some(bare)}")


def measure(texts: Texts, names: Sequence[str]) -> tuple[ScoreSet, dict[str, str]]:
    """Score tokenised captions by the metrics named.

    Returns:
        The scores, in the order of results tables, and the metrics that were left out with the reason.

    Raises:
        ValueError: If a metric is unknown.
    """
    if unknown := [name for name in names if name not in metric_names()]:
        raise ValueError(f"unknown metric {name_some(unknown)}: choose from {', '.join(metric_names())}")
    found, clips = ScoreSet({}, {}), len(texts.clip_references)
    left_out: dict[str, str] = {}
    for scorer in all_scorers():
        wanted = [name for name in scorer.names if name in names]
        reason = scorer.why_not() if wanted else None
        if reason is None and clips < scorer.fewest_clips:
            reason = f"needs {scorer.fewest_clips} clips or more, not {clips}"
        if reason is not None:
            left_out |= dict.fromkeys(wanted, reason)
        elif wanted:
            scores = scorer.score(texts)
            found.corpus.update((name, scores.corpus[name]) for name in wanted)
            found.captions.update((name, scores.captions[name]) for name in wanted if name in scores.captions)
    return found, left_out


def tokenise_all(
    captions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], *, tokenizer: Tokenizer
) -> Texts:
    """Tokenise the captions and the references of each clip at once, since PTB starts Java each time."""
    words = iter(tokenizer.split([text for few in (*captions, *references) for text in few]))
    ours, theirs = ([[next(words) for _ in few] for few in texts] for texts in (captions, references))
    clips = [clip for clip, few in enumerate(ours) for _ in few]
    return Texts([text for few in ours for text in few], theirs, clips=clips)


def clip_scores(ids: Sequence[str], scores: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Turn the scores of all clips by metric into scores by clip id and metric."""
    return {clip: {name: values[k] for name, values in scores.items()} for k, clip in enumerate(ids)}


def warn_left_out(left_out: Mapping[str, str]) -> None:
    """Warn once per reason, with the metrics that were left out because of it."""
    for reason in dict.fromkeys(left_out.values()):
        names = [name for name, why in left_out.items() if why == reason]
        log.warning("Left out %s: %s", ", ".join(names), reason)
