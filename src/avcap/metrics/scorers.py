"""The caption metrics, one class each: those that count words, and the list of all."""

from __future__ import annotations

from avcap.metrics.bleu import bleu
from avcap.metrics.jars import METEOR_JAR, missing_jars, prepare_jars
from avcap.metrics.java import find_java
from avcap.metrics.meteor import meteor
from avcap.metrics.ngrams import repeats
from avcap.metrics.rouge import rouge_l
from avcap.metrics.scorer import Scorer, ScoreSet, Texts, mean
from avcap.metrics.semantic import Fense, SbertSim, SbertSimMiniLM, Spice, Spider, SpiderFl


class Bleu(Scorer):
    """BLEU-1 to BLEU-4 (closest reference length)."""

    names = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")

    def score(self, texts: Texts) -> ScoreSet:
        """Score all captions."""
        corpus, captions = bleu(texts.words, texts.references)
        by_order = map(list, zip(*captions, strict=True))
        return ScoreSet(dict(zip(self.names, corpus, strict=True)), dict(zip(self.names, by_order, strict=True)))


class Meteor(Scorer):
    """METEOR 1.5, by its Java program."""

    names = ("meteor",)

    def why_not(self) -> str | None:
        """Require Java and the jar."""
        return find_java().reason or missing_jars()

    def score(self, texts: Texts) -> ScoreSet:
        """Score all captions."""
        java = find_java()
        if java.path is None:
            raise ValueError(f"METEOR {java.reason}")
        corpus, captions = meteor(texts.words, texts.references, java=java.path, jar=prepare_jars() / METEOR_JAR)
        return ScoreSet({"meteor": corpus}, {"meteor": captions})


class RougeL(Scorer):
    """ROUGE-L with beta 1.2."""

    names = ("rouge_l",)

    def score(self, texts: Texts) -> ScoreSet:
        """Score all captions."""
        return mean("rouge_l", rouge_l(texts.words, texts.references))


class CiderDScorer(Scorer):
    """CIDEr-D, not multiplied by 100."""

    names = ("cider_d",)
    fewest_clips = 2

    def score(self, texts: Texts) -> ScoreSet:
        """Score all captions."""
        return texts.cider_d


class Vocab(Scorer):
    """The number of distinct words in all predictions."""

    names = ("vocab",)
    compares = False

    def score(self, texts: Texts) -> ScoreSet:
        """Count the distinct words."""
        return ScoreSet({"vocab": float(len({word for caption in texts.words for word in caption.split()}))}, {})


class UniqueRatio(Scorer):
    """The number of distinct captions, by the number of clips: 1 / clips means that every clip got the same one."""

    names = ("unique_ratio",)
    compares = False

    def score(self, texts: Texts) -> ScoreSet:
        """Compute the share of distinct captions."""
        return ScoreSet({"unique_ratio": len(set(texts.words)) / len(texts.words)}, {})


class Length(Scorer):
    """The mean number of words in a prediction."""

    names = ("length",)
    compares = False

    def score(self, texts: Texts) -> ScoreSet:
        """Compute the mean number of words, and each caption's."""
        return mean("length", [float(len(caption.split())) for caption in texts.words])


class Repetition(Scorer):
    """The share of predictions that repeat a sequence of three words."""

    names = ("repetition",)
    compares = False

    def score(self, texts: Texts) -> ScoreSet:
        """Find the captions that repeat three words, and compute their share."""
        return mean("repetition", [float(repeats(caption)) for caption in texts.words])


def all_scorers() -> list[Scorer]:
    """Return every scorer, in the order of results tables."""
    return [
        Bleu(),
        Meteor(),
        RougeL(),
        CiderDScorer(),
        Spice(),
        Spider(),
        SpiderFl(),
        Fense(),
        SbertSim(),
        SbertSimMiniLM(),
        Vocab(),
        UniqueRatio(),
        Length(),
        Repetition(),
    ]
