"""The caption metrics, one class each: what it needs, and how it scores."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from avcap.metrics.cider import CiderD as CiderDAgainst
from avcap.metrics.jars import CORENLP_JARS, prepare_jars, spice_lib
from avcap.metrics.java import find_java

_DOWNLOAD = "run `avcap metrics download` once, online"


class ScoreSet(NamedTuple):
    """What one metric, or a family that is computed together, says."""

    corpus: dict[str, float]  # metric name -> score of all clips
    clips: dict[str, list[float]]  # metric name -> score of each clip; metrics of the whole only are left out


class Texts:
    """Tokenised captions of all clips in one order, and the scores that several metrics share.

    Every metric sees the tokenised text, the sentence models too, as in ``aac_metrics.evaluate``.

    Args:
        words: One caption a clip, its words joined by blanks.
        reference_words: The references of each clip, likewise.
    """

    def __init__(self, words: list[str], reference_words: list[list[str]]) -> None:
        self.words, self.reference_words = words, reference_words

    @cached_property
    def cider_d(self) -> ScoreSet:
        """CIDEr-D, kept because SPIDEr uses it as well."""
        scores = CiderDAgainst(self.reference_words).scores(self.words)
        return ScoreSet({"cider_d": sum(scores) / len(scores)}, {"cider_d": scores})

    @cached_property
    def spice(self) -> ScoreSet:
        """SPICE, kept because SPIDEr uses it as well; minutes for a thousand clips."""
        from aac_metrics.functional.spice import spice

        java, cache = str(find_java().path), str(prepare_jars())
        return to_floats(spice(self.words, self.reference_words, cache_path=cache, java_path=java))

    @cached_property
    def fluency(self) -> ScoreSet:
        """The fluency error of FENSE (1: a fault was found), kept because two metrics use it."""
        from aac_metrics.functional.fer import fer

        return to_floats(fer(self.words))

    @cached_property
    def sentence_similarity(self) -> ScoreSet:
        """Cosine of sentence embeddings, kept because two metrics use it."""
        from aac_metrics.functional.sbert_sim import sbert_sim

        return to_floats(sbert_sim(self.words, self.reference_words))


class Scorer(ABC):
    """One metric, or a family that is computed together. ``names`` are the keys it fills."""

    names: tuple[str, ...]
    fewest_clips: int = 1

    def why_not(self) -> str | None:
        """None where it can be computed here, else what is missing and the remedy."""
        return None

    @abstractmethod
    def score(self, texts: Texts) -> ScoreSet:
        """Scores all clips."""


class Bleu(Scorer):
    """BLEU-1 to BLEU-4 (closest reference length)."""

    names = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")

    def score(self, texts: Texts) -> ScoreSet:
        """Scores all clips."""
        from aac_metrics.functional.bleu import bleu

        corpus, clips = bleu(texts.words, texts.reference_words, n=4, return_1_to_n=True)
        return ScoreSet(
            dict(zip(self.names, corpus["bleu_1_to_4"].tolist(), strict=True)),
            dict(zip(self.names, clips["bleu_1_to_4"].tolist(), strict=True)),
        )


class Meteor(Scorer):
    """METEOR 1.5, by its Java program."""

    names = ("meteor",)

    def why_not(self) -> str | None:
        """Needs Java and the jar."""
        return find_java().reason or _missing_jars()

    def score(self, texts: Texts) -> ScoreSet:
        """Scores all clips."""
        from aac_metrics.functional.meteor import meteor

        java, cache = str(find_java().path), str(prepare_jars())
        return to_floats(meteor(texts.words, texts.reference_words, cache_path=cache, java_path=java))


class RougeL(Scorer):
    """ROUGE-L with beta 1.2."""

    names = ("rouge_l",)

    def score(self, texts: Texts) -> ScoreSet:
        """Scores all clips."""
        from aac_metrics.functional.rouge_l import rouge_l

        return to_floats(rouge_l(texts.words, texts.reference_words))


class CiderD(Scorer):
    """CIDEr-D, not multiplied by 100."""

    names = ("cider_d",)
    fewest_clips = 2

    def score(self, texts: Texts) -> ScoreSet:
        """Scores all clips."""
        return texts.cider_d


class Spice(Scorer):
    """SPICE, by its Java program."""

    names = ("spice",)

    def why_not(self) -> str | None:
        """Needs Java and the CoreNLP 3.6.0 models."""
        if reason := find_java().reason or _missing_jars():
            return reason
        if all((spice_lib() / jar).is_file() for jar in CORENLP_JARS):
            return None
        return f"needs the CoreNLP 3.6.0 models: {_DOWNLOAD}"

    def score(self, texts: Texts) -> ScoreSet:
        """Scores all clips."""
        return texts.spice


class Spider(Spice):
    """SPIDEr: the mean of CIDEr-D and SPICE."""

    names = ("spider",)
    fewest_clips = 2

    def score(self, texts: Texts) -> ScoreSet:
        """Scores all clips."""
        pairs = zip(texts.cider_d.clips["cider_d"], texts.spice.clips["spice"], strict=True)
        return _mean("spider", [(cider + spice) / 2 for cider, spice in pairs])


class SbertSim(Scorer):
    """Sentence-BERT similarity (paraphrase-TinyBERT-L6-v2)."""

    names = ("sbert_sim",)

    def why_not(self) -> str | None:
        """Needs the sentence model."""
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache("sentence-transformers/paraphrase-TinyBERT-L6-v2", "config.json")
        return None if isinstance(found, str) else f"needs its sentence model: {_DOWNLOAD}"

    def score(self, texts: Texts) -> ScoreSet:
        """Scores all clips."""
        return texts.sentence_similarity


class Fense(SbertSim):
    """FENSE: sentence similarity, times 0.1 where a fluency error is found."""

    names = ("fense",)

    def why_not(self) -> str | None:
        """Needs the sentence model and the fluency model."""
        return super().why_not() or _missing_fluency_model()

    def score(self, texts: Texts) -> ScoreSet:
        """Scores all clips."""
        return _mean("fense", _penalise(texts.sentence_similarity.clips["sbert_sim"], texts.fluency.clips["fer"]))


class SpiderFl(Spider):
    """SPIDEr-FL: SPIDEr, times 0.1 where a fluency error is found."""

    names = ("spider_fl",)

    def why_not(self) -> str | None:
        """Needs what SPICE needs, and the fluency model."""
        return super().why_not() or _missing_fluency_model()

    def score(self, texts: Texts) -> ScoreSet:
        """Scores all clips."""
        return _mean("spider_fl", _penalise(super().score(texts).clips["spider"], texts.fluency.clips["fer"]))


class Vocab(Scorer):
    """The number of distinct words in all predictions."""

    names = ("vocab",)

    def score(self, texts: Texts) -> ScoreSet:
        """Counts."""
        return ScoreSet({"vocab": float(len({word for caption in texts.words for word in caption.split()}))}, {})


class UniqueRatio(Scorer):
    """The number of distinct captions, by the number of clips: 1 / clips means that every clip got the same one."""

    names = ("unique_ratio",)

    def score(self, texts: Texts) -> ScoreSet:
        """Counts."""
        return ScoreSet({"unique_ratio": len(set(texts.words)) / len(texts.words)}, {})


class Length(Scorer):
    """The mean number of words in a prediction."""

    names = ("length",)

    def score(self, texts: Texts) -> ScoreSet:
        """Counts."""
        return _mean("length", [float(len(caption.split())) for caption in texts.words])


def all_scorers() -> list[Scorer]:
    """Every scorer, in the order of results tables."""
    return [
        Bleu(),
        Meteor(),
        RougeL(),
        CiderD(),
        Spice(),
        Spider(),
        SpiderFl(),
        Fense(),
        SbertSim(),
        Vocab(),
        UniqueRatio(),
        Length(),
    ]


def to_floats(outputs: tuple[dict, dict]) -> ScoreSet:
    """Turns the two dictionaries of tensors that aac-metrics returns (corpus, clips) into plain floats."""
    corpus, clips = outputs
    return ScoreSet(
        {name: float(value) for name, value in corpus.items()},
        {name: values.tolist() for name, values in clips.items()},
    )


def _mean(name: str, scores: list[float]) -> ScoreSet:
    """A metric whose corpus score is the mean over the clips."""
    return ScoreSet({name: sum(scores) / len(scores)}, {name: scores})


def _penalise(scores: list[float], errors: list[float]) -> list[float]:
    """FENSE's penalty: a tenth of the score is left where the caption is not fluent (Zhou et al., 2022)."""
    return [score * (1 - 0.9 * error) for score, error in zip(scores, errors, strict=True)]


def _missing_jars() -> str | None:
    """Links the jars; the reason where that fails."""
    try:
        prepare_jars()
    except OSError as error:
        return str(error)
    return None


def _missing_fluency_model() -> str | None:
    """Whether FENSE's fluency model lies where aac-metrics looks for it."""
    import torch

    folder = os.environ.get("FENSE_DATA") or Path(torch.hub.get_dir()) / "fense_data"
    found = (Path(folder).expanduser() / "echecker_clotho_audiocaps_base.ckpt").is_file()
    return None if found else f"needs FENSE's fluency model: {_DOWNLOAD}"
