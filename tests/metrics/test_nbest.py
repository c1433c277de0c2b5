from __future__ import annotations

import pytest

from avcap.metrics.evaluate import evaluate
from avcap.metrics.nbest import evaluate_nbest
from avcap.metrics.tokenise import PlainTokenizer

JUDGING = ["bleu_1", "rouge_l", "cider_d"]


@pytest.fixture
def candidates() -> dict[str, list[str]]:
    return {
        "a_0": ["Rain", "A dog is barking", "A dog barks twice on a roof"],
        "b_10": ["Rain is falling on a roof."],
        "c_30.5": ["A man speaks and music plays", "Music"],
    }


def test_the_best_of_each_clip_by_each_metric(candidates, references):
    found = evaluate_nbest(candidates, references, metrics=[*JUDGING, "length"], tokenizer=PlainTokenizer())
    each = [  # every caption of every clip scored as the only one of its clip; the other clips do not matter
        evaluate(
            {clip: several[min(k, len(several) - 1)] for clip, several in candidates.items()},
            references,
            metrics=JUDGING,
            tokenizer=PlainTokenizer(),
        )
        for k in range(3)
    ]
    assert set(found.corpus) == {f"{metric}_max" for metric in JUDGING}
    for metric in JUDGING:
        best = {clip: max(scores.clips[clip][metric] for scores in each) for clip in references}
        assert {clip: found.clips[clip][f"{metric}_max"] for clip in references} == pytest.approx(best, abs=1e-12)
        assert found.corpus[f"{metric}_max"] == pytest.approx(sum(best.values()) / 3, abs=1e-12)
    assert found.corpus["cider_d_max"] > each[0].corpus["cider_d"]


def test_one_caption_a_clip_is_its_own_best(predictions, references):
    single = evaluate(predictions, references, metrics=JUDGING, tokenizer=PlainTokenizer())
    found = evaluate_nbest(
        {clip: [caption] for clip, caption in predictions.items()},
        references,
        metrics=JUDGING,
        tokenizer=PlainTokenizer(),
    )
    assert found.corpus["cider_d_max"] == pytest.approx(single.corpus["cider_d"], abs=1e-12)
    assert (found.clip_count, found.id_hash) == (single.clip_count, single.id_hash)


def test_an_empty_list_is_named(candidates, references):
    with pytest.raises(ValueError, match="1 clips have an empty list of captions: b_10"):
        evaluate_nbest({**candidates, "b_10": []}, references)
