from __future__ import annotations

import csv

import pytest

from avcap.metrics.bounds import constant_caption, constant_scores, human_bound
from avcap.metrics.cider import CiderD
from avcap.metrics.evaluate import evaluate
from avcap.metrics.tokenise import PlainTokenizer

PLAIN = {"metrics": ["cider_d", "rouge_l"], "tokenizer": PlainTokenizer()}


def test_human_bound_is_the_first_reference_against_the_others(references):
    expected = evaluate({i: r[0] for i, r in references.items()}, {i: r[1:] for i, r in references.items()}, **PLAIN)
    assert human_bound(references, **PLAIN) == expected


def test_leave_one_out_is_the_mean_over_the_references(references):
    rounds = [
        evaluate(
            {i: r[k] for i, r in references.items()}, {i: r[:k] + r[k + 1 :] for i, r in references.items()}, **PLAIN
        )
        for k in range(3)
    ]
    bound = human_bound(references, leave_one_out=True, **PLAIN)
    assert bound.corpus["cider_d"] == pytest.approx(sum(r.corpus["cider_d"] for r in rounds) / 3)
    assert bound.clips["a_0"]["rouge_l"] == pytest.approx(sum(r.clips["a_0"]["rouge_l"] for r in rounds) / 3)


def test_a_single_reference_has_no_human_bound(references):
    with pytest.raises(ValueError, match="1 have fewer: b_10"):
        human_bound({**references, "b_10": ["rain"]}, **PLAIN)


def test_constant_scores_equal_the_definition(references):
    split = PlainTokenizer().split
    judges = [split(r) for r in references.values()]
    candidates = split(
        ["a dog barks", "a man speaks while a dog barks", "rain rain rain", "xyz", "", "music after a man speaks"]
    )
    cider = CiderD(judges)
    brute = [sum(cider.scores([c] * len(judges))) / len(judges) for c in candidates]
    assert constant_scores(candidates, judges) == pytest.approx(brute, abs=1e-12)


def test_constant_caption_is_the_best_candidate(references):
    best = constant_caption(["Xyz", "A man speaks", "A dog barks"], references, **PLAIN)
    others = [
        evaluate(dict.fromkeys(references, c), references, **PLAIN) for c in ("Xyz", "A man speaks", "A dog barks")
    ]
    assert best.scores.corpus["cider_d"] == max(o.corpus["cider_d"] for o in others)
    assert best.scores.corpus["cider_d"] > 0


def test_constant_caption_may_be_chosen_on_other_clips(references):
    others = {
        "x_0": ["A man speaks", "Speech of a man"],
        "y_0": ["Rain", "It rains"],
        "z_0": ["A man talks", "A man speaks"],
    }
    chosen = constant_caption(["A dog barks", "A man speaks"], references, chosen_on=others, **PLAIN)
    assert chosen.caption == "A man speaks"
    assert chosen.scores.clip_count == 3
    with pytest.raises(ValueError, match="at least one caption"):
        constant_caption([], references, **PLAIN)


def test_audiocaps_training_captions(audiocaps, shared_data):
    with (shared_data / "audiocaps" / "train.csv").open(newline="") as file:
        train = [row["caption"] for row in csv.DictReader(file)][:8000]
    best = constant_caption(train, audiocaps, metrics=["cider_d"], tokenizer=PlainTokenizer())
    assert 0.1 < best.scores.corpus["cider_d"] < 0.25
    assert best.scores.corpus["cider_d"] < human_bound(audiocaps, **PLAIN).corpus["cider_d"] / 3
