"""Scoring captions against references: every metric that can be computed here, and the reason for those that cannot."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from avcap.ids import id_hash, name_some
from avcap.metrics.scorers import Scorer, Texts, all_scorers
from avcap.metrics.tokenise import Tokenizer, default_tokenizer

log = logging.getLogger(__name__)


class Scores(NamedTuple):
    """What captions are worth, on which clips, and how it was measured."""

    corpus: dict[str, float]  # metric -> score of all clips, not multiplied by 100
    clips: dict[str, dict[str, float]]  # id -> metric -> score of that clip
    left_out: dict[str, str]  # metric -> why it was not computed
    count: int  # number of clips
    id_hash: str  # of the clip ids, see avcap.ids.id_hash
    tokenizer: str  # "ptb" or "plain"


def metric_names() -> list[str]:
    """Every metric name, in the order of results tables."""
    return [name for scorer in all_scorers() for name in scorer.names]


def available() -> dict[str, str | None]:
    """For every metric: None where it can be computed on this machine, else the reason and the remedy."""
    return {name: reason for scorer in all_scorers() for reason in [scorer.why_not()] for name in scorer.names}


def evaluate(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    *,
    metrics: Sequence[str] | None = None,
    tokenizer: Tokenizer | None = None,
) -> Scores:
    """Scores one caption a clip against the clip's references.

    A metric that cannot be computed here is left out and named with the reason, in the result and in one warning.

    Args:
        predictions: Clip id to caption.
        references: Clip id to reference captions; the same ids.
        metrics: Names out of ``metric_names()``; None means all.
        tokenizer: How to split captions into words; None means PTB where Java is there, else plain.

    Returns:
        Corpus and per-clip scores, and what they were computed on.

    Raises:
        ValueError: If an id is missing or unknown, a clip has no reference, there is no clip, or a metric is unknown.
    """
    check_ids(predictions, references)
    names = list(metric_names() if metrics is None else metrics)
    scorers, left_out = _choose(names)
    ids = sorted(references)
    tokenizer = tokenizer or default_tokenizer()
    texts = _tokenise([predictions[i] for i in ids], [list(references[i]) for i in ids], tokenizer=tokenizer)
    corpus: dict[str, float] = {}
    clips: dict[str, dict[str, float]] = {i: {} for i in ids}
    for scorer in scorers:
        wanted = [name for name in scorer.names if name in names]
        if len(ids) < scorer.fewest_clips:
            left_out |= dict.fromkeys(wanted, f"needs {scorer.fewest_clips} clips or more, not {len(ids)}")
            continue
        scores = scorer.score(texts)
        for name in wanted:
            corpus[name] = scores.corpus[name]
            for clip, value in zip(ids, scores.clips.get(name, ()), strict=False):
                clips[clip][name] = value
    _say(left_out)
    return Scores(corpus, clips, left_out, len(ids), id_hash(ids), tokenizer.name)


def check_ids(predictions: Iterable[str], references: Mapping[str, Sequence[str]]) -> None:
    """Raises a ValueError that names up to five ids unless predictions and references have the same ids.

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


def _choose(names: Sequence[str]) -> tuple[list[Scorer], dict[str, str]]:
    """The scorers that fill the wanted names, and the names that cannot be computed with the reason."""
    if unknown := [name for name in names if name not in metric_names()]:
        raise ValueError(f"unknown metric {name_some(unknown)}: choose from {', '.join(metric_names())}")
    scorers, left_out = [], {}
    for scorer in all_scorers():
        wanted = [name for name in scorer.names if name in names]
        reason = scorer.why_not() if wanted else None
        if reason:
            left_out |= dict.fromkeys(wanted, reason)
        elif wanted:
            scorers.append(scorer)
    return scorers, left_out


def _tokenise(predictions: list[str], references: list[list[str]], *, tokenizer: Tokenizer) -> Texts:
    """Tokenises everything at once, since PTB starts Java each time."""
    flat = tokenizer.split([*predictions, *(caption for clip in references for caption in clip)])
    rest = iter(flat[len(predictions) :])
    return Texts(flat[: len(predictions)], [[next(rest) for _ in clip] for clip in references])


def _say(left_out: Mapping[str, str]) -> None:
    """One warning a reason, naming the metrics that were left out because of it."""
    for reason in dict.fromkeys(left_out.values()):
        names = [name for name, why in left_out.items() if why == reason]
        log.warning("Left out %s: %s", ", ".join(names), reason)
