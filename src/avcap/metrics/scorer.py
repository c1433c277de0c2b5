"""The contract of a caption metric, and the tokenised texts that all metrics read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from avcap.metrics.cider import CiderD
from avcap.metrics.jars import prepare_jars
from avcap.metrics.java import find_java


class ScoreSet(NamedTuple):
    """The scores of one metric, or of a family that is computed together."""

    corpus: dict[str, float]  # metric name -> score of all captions
    captions: dict[str, list[float]]  # metric name -> score of each; metrics of the whole only are left out


class Texts:
    """Tokenised captions in one order, and the scores that several metrics share.

    Every metric sees the tokenised text, the sentence models too, as in ``aac_metrics.evaluate``.

    Args:
        words: Captions, their words joined by blanks.
        clip_references: The references of each clip, likewise.
        clips: For each caption the index of its clip; None: one a clip, in order.
    """

    def __init__(
        self, words: list[str], clip_references: list[list[str]], *, clips: Sequence[int] | None = None
    ) -> None:
        self.words, self.clip_references = words, clip_references
        self.clips = range(len(clip_references)) if clips is None else clips
        self.references = [clip_references[clip] for clip in self.clips]  # of each caption

    @cached_property
    def cider_d(self) -> ScoreSet:
        """CIDEr-D, kept because SPIDEr uses it as well. Words are weighed by how many clips use them."""
        return mean("cider_d", CiderD(self.clip_references).scores(self.words, clips=self.clips))

    @cached_property
    def spice(self) -> ScoreSet:
        """SPICE, kept because SPIDEr uses it as well; minutes for a thousand clips."""
        from aac_metrics.functional.spice import spice

        java, cache = str(find_java().path), str(prepare_jars())
        return to_floats(spice(self.words, self.references, cache_path=cache, java_path=java))

    @cached_property
    def fluency(self) -> ScoreSet:
        """The fluency error of FENSE (1: a fault was found), kept because two metrics use it."""
        from aac_metrics.functional.fer import fer

        return to_floats(fer(self.words))

    @cached_property
    def sentence_similarity(self) -> ScoreSet:
        """Cosine of sentence embeddings, kept because two metrics use it."""
        from aac_metrics.functional.sbert_sim import sbert_sim

        return to_floats(sbert_sim(self.words, self.references))


class Scorer(ABC):
    """One metric, or a family that is computed together.

    Attributes:
        names: The keys it fills.
        fewest_clips: With fewer clips the metric is meaningless.
        compares: Whether it compares a caption with its references, so that the higher of two captions is the better.
        on_request: Whether it is computed only on request, by name.
    """

    names: tuple[str, ...]
    fewest_clips: int = 1
    compares: bool = True
    on_request: bool = False

    def why_not(self) -> str | None:
        """Return None if it can be computed here, else what is missing and the remedy."""
        return None

    @abstractmethod
    def score(self, texts: Texts) -> ScoreSet:
        """Score all captions."""


def mean(name: str, scores: list[float]) -> ScoreSet:
    """Build a metric whose corpus score is the mean over the captions."""
    return ScoreSet({name: sum(scores) / len(scores)}, {name: scores})


def to_floats(outputs: tuple[dict, dict]) -> ScoreSet:
    """Turn the two dictionaries of tensors that aac-metrics returns (corpus, captions) into plain floats."""
    corpus, captions = outputs
    return ScoreSet(
        {name: float(value) for name, value in corpus.items()},
        {name: values.tolist() for name, values in captions.items()},
    )
