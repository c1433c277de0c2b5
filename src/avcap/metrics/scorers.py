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


class WordCounts(Scorer):
    """Counts of the predictions alone: distinct words, distinct captions, length, repetition."""

    names = ("vocab", "unique_ratio", "length", "repetition")
    compares = False

    def score(self, texts: Texts) -> ScoreSet:
        """Count distinct words, the share of distinct captions, words a caption, and the share that repeats three words."""
        lengths = mean("length", [float(len(caption.split())) for caption in texts.words])
        repetitions = mean("repetition", [float(repeats(caption)) for caption in texts.words])
        distinct = {
            "vocab": float(len({word for caption in texts.words for word in caption.split()})),
            "unique_ratio": len(set(texts.words)) / len(texts.words),  # 1 / clips: every clip got the same caption
        }
        return ScoreSet(distinct | lengths.corpus | repetitions.corpus, lengths.captions | repetitions.captions)


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
        WordCounts(),
    ]
