"""BLEU, ROUGE-L and CIDEr-D are our own; here they meet aac-metrics, which equals coco-caption, on random captions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avcap.metrics.bleu import bleu
from avcap.metrics.cider import CiderD
from avcap.metrics.rouge import longest_common_subsequence, rouge_l

word = st.sampled_from(["a", "dog", "cat", "barks", "rain", "falls", "on", "the", "roof", "then"])
captions = st.lists(word, max_size=9).map(" ".join)
references = st.lists(st.lists(word, min_size=1, max_size=9).map(" ".join), min_size=1, max_size=4)
corpora = st.lists(st.tuples(captions, references), min_size=2, max_size=6).map(
    lambda rows: tuple(map(list, zip(*rows, strict=True)))
)
Corpus = tuple[list[str], list[list[str]]]


@settings(max_examples=60, deadline=None)
@given(corpora)
def test_cider_d(corpus: Corpus):
    from aac_metrics.functional.cider_d import cider_d

    expected = cider_d(*corpus)[1]["cider_d"].tolist()
    assert CiderD(corpus[1]).scores(corpus[0]) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(corpora)
def test_bleu(corpus: Corpus):
    from aac_metrics.functional.bleu import bleu as theirs

    whole, each = theirs(*corpus, n=4, return_1_to_n=True)
    ours_whole, ours_each = bleu(*corpus)
    assert ours_whole == pytest.approx(whole["bleu_1_to_4"].tolist(), abs=1e-9)
    for order, scores in enumerate(each["bleu_1_to_4"].tolist()):
        assert [clip[order] for clip in ours_each] == pytest.approx(scores, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(corpora)
def test_rouge_l(corpus: Corpus):
    from aac_metrics.functional.rouge_l import rouge_l as theirs

    assert rouge_l(*corpus) == pytest.approx(theirs(*corpus)[1]["rouge_l"].tolist(), abs=1e-12)


def test_rouge_l_by_hand():
    assert (
        longest_common_subsequence(["a", "dog", "barks", "at", "a", "cat"], ["a", "cat", "barks", "at", "dog"]) == 3
    )  # a barks at
    # precision 2/3 from the first reference, recall 2/2 from the second
    assert rouge_l(["a dog barks"], [["a dog sleeps on grass", "a barks", ""]]) == pytest.approx(
        [(1 + 1.2**2) * (2 / 3) * 1 / (1 + 1.2**2 * (2 / 3))]
    )
    assert rouge_l(["", "cat"], [["a dog"], ["a dog"]]) == [0.0, 0.0]
