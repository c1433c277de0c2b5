"""Test scores, with the share of correctly named kinds of sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from avcap.metrics.evaluate import Scores
from avcap.scenes.naming import kinds_heard, naming_scores

_USUAL = 0.5
"""Share of clips whose first reference must name a kind that is heard: 1 where references tell what is heard, 0 where they
tell what is seen."""


class AddNaming:
    """Adds ``named_recall``, ``named_precision`` and ``named_any`` to scores, see :mod:`avcap.scenes.naming`.

    It leaves scores as they are where the events of some clip are not known, or where the references do not name them, as
    those that tell what is seen.

    Args:
        events: Clip id -> events, as in ``events.jsonl``.
        references: Clip id -> references.
    """

    def __init__(
        self, events: Mapping[str, Sequence[Mapping[str, Any]]], references: Mapping[str, Sequence[str]]
    ) -> None:
        self.events = events
        firsts = {clip: captions[0] for clip, captions in references.items()}
        known = all(kinds_heard(events.get(clip, ())) for clip in firsts)
        self.possible = known and naming_scores(firsts, events).corpus["named_any"] >= _USUAL

    def __call__(self, scores: Scores, captions: Mapping[str, str]) -> Scores:
        """Return the scores of captions with their naming.

        Args:
            scores: What the captions scored.
            captions: Clip id -> caption.
        """
        if not self.possible:
            return scores
        naming = naming_scores(captions, self.events)
        clips = {clip: own | naming.clips[clip] for clip, own in scores.clips.items()}
        return scores._replace(corpus=scores.corpus | naming.corpus, clips=clips)
