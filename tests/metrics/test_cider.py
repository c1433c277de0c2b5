from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avcap.metrics.cider import CiderD, cider_d

words = st.lists(
    st.sampled_from(["a", "dog", "cat", "barks", "rain", "falls", "on", "the", "roof", "then"]), max_size=9
).map(" ".join)
corpora = st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=4)), min_size=2, max_size=6)


@settings(max_examples=60, deadline=None)
@given(corpora)
def test_equal_to_aac_metrics(corpus: list[tuple[str, list[str]]]):
    from aac_metrics.functional.cider_d import cider_d as theirs

    predictions, references = [p for p, _ in corpus], [r for _, r in corpus]
    if not any(reference for clip in references for reference in clip):
        return  # aac-metrics cannot take references without a single word
    expected = theirs(predictions, references)[1]["cider_d"].tolist()
    assert CiderD(references).scores(predictions) == pytest.approx(expected, abs=1e-9)


def test_perfect_captions_score_ten_when_nothing_is_shared():
    references = [["a dog barks loudly outside"], ["rain falls on tin roofs"]]
    assert CiderD(references).scores([r[0] for r in references]) == pytest.approx([10.0, 10.0])


def test_words_that_every_clip_has_weigh_nothing():
    assert CiderD([["the rain"], ["the dog"]]).scores(["the", "the"]) == [0.0, 0.0]


def test_one_clip_is_refused():
    with pytest.raises(ValueError, match="needs 2 clips or more, not 1"):
        cider_d(["a dog"], [["a dog"]])


def test_numbers_must_agree():
    with pytest.raises(ValueError, match="1 captions for 2 clips"):
        cider_d(["a dog"], [["a dog"], ["rain"]])


def test_audiocaps_human_bound_with_plain_words(audiocaps):
    captions = list(audiocaps.values())
    plain = cider_d([c[0] for c in captions], [c[1:] for c in captions])
    assert plain == pytest.approx(0.8972929628238785, abs=0.005)  # the tokeniser alone makes the difference
