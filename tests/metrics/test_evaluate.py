from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import pytest

from avcap.ids import id_hash
from avcap.metrics import scorers, semantic
from avcap.metrics.bounds import human_bound
from avcap.metrics.evaluate import available, default_metrics, evaluate, metric_names
from avcap.metrics.java import Java
from avcap.metrics.scorer import ScoreSet
from avcap.metrics.tokenise import PlainTokenizer

QUICK = ["bleu_1", "bleu_4", "rouge_l", "cider_d", "vocab", "unique_ratio", "length"]
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "metrics.json").read_text())


def test_human_bound_on_audiocaps_equals_the_reference(audiocaps):
    scores = human_bound(audiocaps, metrics=list(GOLDEN["expected"]))
    assert scores.clip_count == 944
    assert scores.tokenizer == "ptb"
    assert scores.left_out == {}
    assert scores.corpus == pytest.approx(GOLDEN["expected"], abs=GOLDEN["tolerance"])
    mean = sum(clip["cider_d"] for clip in scores.clips.values()) / 944
    assert mean == pytest.approx(scores.corpus["cider_d"], abs=1e-12)


def test_scores_by_hand(predictions, references):
    scores = evaluate(predictions, references, metrics=QUICK, tokenizer=PlainTokenizer())
    assert scores.corpus["vocab"] == 13  # a dog barks rain is falling on roof man speaks and music plays
    assert scores.corpus["unique_ratio"] == 1
    assert scores.corpus["length"] == pytest.approx((3 + 6 + 6) / 3)
    # "is" and "and" are in no reference; the closest references have 4 + 6 + 5 words, as many as the captions
    assert scores.corpus["bleu_1"] == pytest.approx((3 + 5 + 5) / 15, rel=1e-6)
    assert scores.clips["a_0"]["bleu_1"] == pytest.approx(math.exp(1 - 4 / 3), rel=1e-6)  # 3 words to 4
    assert (scores.clip_count, scores.tokenizer) == (3, "plain")
    assert scores.id_hash == id_hash(["c_30.5", "b_10", "a_0"])
    assert set(scores.clips["b_10"]) == {"bleu_1", "bleu_4", "rouge_l", "cider_d", "length"}


def test_order_of_clips_does_not_matter(predictions, references):
    forward = evaluate(predictions, references, metrics=QUICK, tokenizer=PlainTokenizer())
    turned = evaluate(dict(reversed(predictions.items())), dict(reversed(references.items())), metrics=QUICK,
                      tokenizer=PlainTokenizer())  # fmt: skip
    assert turned == forward


@pytest.mark.slow
def test_empty_captions_score_zero_and_meteor_survives_them(references):
    scores = evaluate(dict.fromkeys(references, ""), references, metrics=[*QUICK, "meteor"])
    assert {scores.corpus[name] for name in ("bleu_4", "rouge_l", "cider_d", "meteor", "vocab")} == {0.0}
    assert scores.corpus["unique_ratio"] == pytest.approx(1 / 3)


def test_a_metric_that_cannot_be_computed_is_left_out_with_the_reason(monkeypatch, caplog, predictions, references):
    for module in (scorers, semantic):
        monkeypatch.setattr(module, "find_java", lambda: Java(None, "", "needs Java 8 to 13 (none found)"))
    with caplog.at_level(logging.WARNING):
        scores = evaluate(predictions, references, metrics=["bleu_4", "meteor", "spice"], tokenizer=PlainTokenizer())
    assert set(scores.corpus) == {"bleu_4"}
    assert scores.left_out == dict.fromkeys(["meteor", "spice"], "needs Java 8 to 13 (none found)")
    assert caplog.messages == ["Left out meteor, spice: needs Java 8 to 13 (none found)"]


def test_one_clip_has_no_cider_but_the_rest(predictions, references):
    scores = evaluate(
        {"a_0": predictions["a_0"]}, {"a_0": references["a_0"]}, metrics=QUICK, tokenizer=PlainTokenizer()
    )
    assert "cider_d" not in scores.corpus
    assert scores.left_out == {"cider_d": "needs 2 clips or more, not 1"}
    assert scores.corpus["bleu_1"] > 0


def test_available_names_every_metric():
    found = available()
    assert list(found) == metric_names()
    assert {"bleu_4", "meteor", "rouge_l", "cider_d", "spice", "spider", "spider_fl", "fense", "sbert_sim"} <= set(
        found
    )
    assert found["meteor"] is None
    assert found["sbert_sim_minilm"] is None
    assert [name for name in found if name not in default_metrics()] == ["sbert_sim_minilm"]


def test_repetition_is_the_share_of_captions_that_say_three_words_twice(references):
    said = {
        "a_0": "a dog barks and a dog barks",
        "b_10": "a man speaks and a man laughs",  # two words twice are no fault
        "c_30.5": "wind wind wind wind",
    }
    scores = evaluate(said, references, metrics=["repetition"], tokenizer=PlainTokenizer())
    assert scores.corpus["repetition"] == pytest.approx(2 / 3)
    assert [clip["repetition"] for clip in scores.clips.values()] == [1, 0, 1]


def test_missing_ids_are_named_up_to_five():
    references = {f"clip{i}": ["a dog"] for i in range(9)}
    with pytest.raises(
        ValueError, match="7 of 9 clips have no prediction: clip2, clip3, clip4, clip5, clip6 and 2 more"
    ):
        evaluate({"clip0": "x", "clip1": "y"}, references)


def test_unknown_ids_are_named(predictions, references):
    with pytest.raises(ValueError, match="1 predictions are of clips without references: zzz_1"):
        evaluate({**predictions, "zzz_1": "a cat"}, references)


def test_faults_in_the_references_are_named(predictions, references):
    with pytest.raises(ValueError, match="1 clips have an empty list of references: b_10"):
        evaluate(predictions, {**references, "b_10": []})
    with pytest.raises(ValueError, match="no references"):
        evaluate({}, {})


def test_an_unknown_metric_is_named(predictions, references):
    with pytest.raises(ValueError, match="unknown metric cider: choose from bleu_1"):
        evaluate(predictions, references, metrics=["cider"])


class FakeModels:
    """Texts whose slow scores are given, to check how the composed metrics use them."""

    cider_d = ScoreSet({}, {"cider_d": [0.5, 1.5]})
    spice = ScoreSet({}, {"spice": [0.1, 0.3]})
    fluency = ScoreSet({}, {"fer": [0.0, 1.0]})
    sentence_similarity = ScoreSet({}, {"sbert_sim": [0.8, 0.6]})


def test_composed_metrics():
    assert semantic.Spider().score(FakeModels()).corpus["spider"] == pytest.approx((0.3 + 0.9) / 2)
    assert semantic.SpiderFl().score(FakeModels()).corpus["spider_fl"] == pytest.approx((0.3 + 0.09) / 2)
    assert semantic.Fense().score(FakeModels()).corpus["fense"] == pytest.approx((0.8 + 0.06) / 2)


def test_fense_looks_for_its_models(monkeypatch, tmp_path):
    monkeypatch.setenv("FENSE_DATA", str(tmp_path))
    assert "fluency model: run `avcap metrics download`" in (semantic._missing_fluency_model() or "")
    (tmp_path / "echecker_clotho_audiocaps_base.ckpt").touch()
    assert semantic._missing_fluency_model() is None
