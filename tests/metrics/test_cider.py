from __future__ import annotations

import pytest

from avcap.metrics.cider import CiderD, cider_d


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


def test_any_number_of_captions_a_clip():
    cider = CiderD([["a dog barks"], ["rain falls"]])
    dog, rain, wrong = cider.scores(["a dog barks", "rain falls", "rain falls"], clips=[0, 1, 0])
    assert [dog, rain] == cider.scores(["a dog barks", "rain falls"])
    assert wrong == 0
    with pytest.raises(ValueError, match="2 captions for 1 clips"):
        cider.scores(["a", "b"], clips=[0])
