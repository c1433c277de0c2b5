"""Searches over a table of random logits, against a slow search of one clip that follows the official rules by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from avcap.decoders.search_beam import GeneratorBeamSearch
from avcap.decoders.search_single import SingleSequence

WORDS, BOS, EOS = 9, 0, 1


class Table:
    """A clip's logits depend on its last two words; counts how many rows are read."""

    def __init__(self, seed: int, clips: int, *, sharpness: float = 3.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.table = sharpness * torch.randn(clips, WORDS, WORDS, WORDS, generator=generator)
        self.table[..., EOS] += 1.5
        self.calls = 0

    def alone(self, clip: int) -> Table:
        one = Table(0, 1)
        one.table = self.table[clip : clip + 1]
        return one

    def __call__(self, words: Tensor, parents: Tensor | None) -> Tensor:
        before = torch.full_like(words, BOS) if parents is None else self.last.gather(1, parents)
        self.last = words
        self.calls += 1
        clips = torch.arange(len(words))[:, None]
        return self.table[clips, before, words]

    def log_probabilities(self, clip: int, ids: list[int]) -> Tensor:
        before = ids[-2] if len(ids) > 1 else BOS
        return self.table[clip, before, ids[-1]].log_softmax(dim=0)


def start(clips: int) -> Tensor:
    return torch.full((clips,), BOS)


def by_hand(
    table: Table, clip: int, *, beams: int, steps: int, power: float, count: int = 1
) -> list[tuple[float, list[int]]]:
    """The official rules with lists: see the manifest of the case ``avcap_captioner``; ``steps`` counts the opening word.

    The official code keeps one text; of several, the last takes the place of the best where it is beaten, and at the last
    step each beam is closed by its likeliest word.
    """
    alive: list[tuple[float, list[int]]] = [(0.0, [BOS])]
    best: list[tuple[float, list[int]]] = [(-math.inf, [])] * count
    for n in range(1, steps):
        candidates = [
            (total + float(value), ids, word)
            for total, ids in alive
            for word, value in enumerate(table.log_probabilities(clip, ids))
        ]
        candidates = sorted(candidates, key=lambda candidate: -candidate[0])
        closed = {tuple(ids): (total, ids, word) for total, ids, word in reversed(candidates)}
        candidates = sorted(closed.values(), reverse=True) if n + 1 == steps else candidates[: 2 * beams]
        if best[-1][0] >= candidates[0][0] / ((5 + steps - 1) / 6) ** power:
            break
        alive = []
        for total, ids, word in candidates:
            if word == EOS or n + 1 == steps:
                score = total / ((5 + n) / 6) ** power
                if score > best[-1][0]:
                    best = sorted([*best[:-1], (score, ids[1:])], key=lambda text: -text[0])
            else:
                alive.append((total, [*ids, word]))
            if len(alive) == beams:
                break
    return best


@pytest.mark.parametrize("beams", [1, 2, 4])
@pytest.mark.parametrize("power", [0.0, 0.6, 2.0])
def test_beam_search_follows_the_official_rules(beams: int, power: float) -> None:
    clips, limit = 40, 7
    table = Table(beams, clips)
    settings = {"num_beams": beams, "max_new_tokens": limit, "length_penalty": power}
    found = GeneratorBeamSearch()(table, bos=start(clips), eos=EOS, settings=settings)
    lengths = set()
    for clip in range(clips):
        ((score, ids),) = by_hand(table, clip, beams=beams, steps=limit + 1, power=power)
        assert found.ids[clip].tolist() == ids + [EOS] * (limit - len(ids))
        assert float(found.scores[clip]) == pytest.approx(score, abs=1e-4)
        lengths.add(len(ids))
    assert len(lengths) > 2  # the clips end at different places


@pytest.mark.parametrize("power", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("limit", [2, 7])
def test_the_best_several_follow_the_same_rules(limit: int, power: float) -> None:
    clips, beams, count = 30, 4, 3
    table = Table(23, clips)
    settings = {"num_beams": beams, "max_new_tokens": limit, "length_penalty": power}
    search = GeneratorBeamSearch()
    found = search.nbest(table, bos=start(clips), eos=EOS, settings=settings, count=count)
    assert found.ids.shape == (clips, count, limit)
    assert torch.equal(found.ids[:, 0], search(table, bos=start(clips), eos=EOS, settings=settings).ids)
    for clip in range(clips):
        expected = by_hand(table, clip, beams=beams, steps=limit + 1, power=power, count=count)
        assert found.ids[clip].tolist() == [ids + [EOS] * (limit - len(ids)) for _, ids in expected]
        means = [score * ((6 + len(ids)) / 6) ** power / (len(ids) + 1) for score, ids in expected]
        assert found.scores[clip].tolist() == pytest.approx(means, abs=1e-4)


def test_fewer_texts_than_asked_for_have_no_score() -> None:
    settings = {"num_beams": 4, "max_new_tokens": 1}
    found = GeneratorBeamSearch().nbest(Table(29, 5), bos=start(5), eos=EOS, settings=settings, count=3)
    assert (found.ids == EOS).all()  # one word, and that closes the text
    assert torch.isfinite(found.scores[:, 0]).all()
    assert (found.scores[:, 1:] == -math.inf).all()


@pytest.mark.parametrize("search", [GeneratorBeamSearch(), SingleSequence()])
def test_a_clip_in_a_batch_is_searched_as_if_alone(search: object) -> None:
    settings = {"num_beams": 3, "max_new_tokens": 6, "length_penalty": 0.6}
    table = Table(5, 12)
    together = search(table, bos=start(12), eos=EOS, settings=settings)
    for clip in range(12):
        alone = search(table.alone(clip), bos=start(1), eos=EOS, settings=settings)
        assert together.ids[clip].tolist() == alone.ids[0].tolist()
        torch.testing.assert_close(together.scores[clip], alone.scores[0])


def test_enough_beams_find_the_best_text_of_all() -> None:
    table, limit = Table(7, 6), 3
    beams = (WORDS - 1) ** 2
    settings = {"num_beams": beams, "max_new_tokens": limit, "length_penalty": 0.6}
    found = GeneratorBeamSearch()(table, bos=start(6), eos=EOS, settings=settings)
    others = [word for word in range(WORDS) if word != EOS]
    for clip in range(6):
        best = -math.inf
        for length in range(limit):
            for ids in itertools.product(others, repeat=length):
                text = [BOS, *ids]
                total = sum(float(table.log_probabilities(clip, text[:i])[text[i]]) for i in range(1, len(text)))
                last = table.log_probabilities(clip, text)
                closing = last.max() if len(text) == limit else last[EOS]  # any word closes at the last step
                best = max(best, (total + float(closing)) / ((5 + len(text)) / 6) ** 0.6)
        assert float(found.scores[clip]) == pytest.approx(best, abs=1e-4)


def test_beam_search_stops_when_nothing_better_can_come() -> None:
    table = Table(3, 4)
    table.table[..., EOS] += 20.0
    settings = {"num_beams": 4, "max_new_tokens": 50, "length_penalty": 0.6}
    found = GeneratorBeamSearch()(table, bos=start(4), eos=EOS, settings=settings)
    assert table.calls == 2
    assert (found.ids == EOS).all()


def test_greedy_search_takes_the_likeliest_word_and_sums_log_probabilities() -> None:
    table = Table(11, 20)
    found = SingleSequence()(table, bos=start(20), eos=EOS, settings={"max_new_tokens": 6})
    for clip in range(20):
        ids, total = [BOS], 0.0
        while len(ids) < 7 and (len(ids) == 1 or ids[-1] != EOS):
            logs = table.log_probabilities(clip, ids)
            total += float(logs.max())
            ids.append(int(logs.argmax()))
        assert found.ids[clip].tolist() == ids[1:] + [EOS] * (7 - len(ids))
        assert float(found.scores[clip]) == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("search", [GeneratorBeamSearch(), SingleSequence()])
def test_no_repeat_forbids_the_same_word_twice_in_a_row(search: object) -> None:
    table = Table(13, 30)
    eye = torch.eye(WORDS)
    eye[EOS, EOS] = 0
    table.table += 12 * eye  # every word wants to follow itself
    table.table[..., EOS] -= 6
    settings = {"num_beams": 3, "max_new_tokens": 8, "length_penalty": 0.6}

    def repeats(ids: Tensor) -> int:
        return int(((ids[:, 1:] == ids[:, :-1]) & (ids[:, 1:] != EOS)).sum())

    free = GeneratorBeamSearch()(table, bos=start(30), eos=EOS, settings=settings)
    assert repeats(free.ids) > 30
    found = search(table, bos=start(30), eos=EOS, settings={**settings, "no_repeat": True})
    assert repeats(found.ids) == 0


def test_sampling_repeats_with_its_seed_and_keeps_to_the_nucleus() -> None:
    settings = {"max_new_tokens": 5, "do_sample": True, "top_p": 0.5}
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(SingleSequence()(Table(17, 64), bos=start(64), eos=EOS, settings=settings).ids)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    table = Table(17, 64)
    for clip, ids in enumerate(drawn[0].tolist()):
        text = [BOS]
        for word in ids:
            chances, order = table.log_probabilities(clip, text).exp().sort(descending=True)
            kept = order[: int((chances.cumsum(0) < 0.5).sum()) + 1]
            assert word in kept.tolist()
            text.append(word)
            if word == EOS:
                break


@pytest.mark.parametrize("search", [GeneratorBeamSearch(), SingleSequence()])
@pytest.mark.parametrize(
    ("setting", "holds"),
    [
        ({"min_new_tokens": 3}, lambda row: EOS not in row[:3]),
        ({"no_repeat_ngram_size": 2}, lambda row: len(set(_pairs(row))) == len(_pairs(row))),
    ],
)
def test_hugging_face_settings_hold_in_every_search(search: object, setting: dict[str, int], holds: object) -> None:
    settings = {"num_beams": 3, "max_new_tokens": 6, **setting}
    found = search(Table(19, 20), bos=start(20), eos=EOS, settings=settings)
    assert all(holds(row) for row in found.ids.tolist())


def _pairs(row: list[int]) -> list[tuple[int, int]]:
    words = row[: row.index(EOS)] if EOS in row else row
    return list(itertools.pairwise(words))
