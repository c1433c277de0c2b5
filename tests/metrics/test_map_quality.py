from __future__ import annotations

import pytest
import torch

from avcap.metrics import MapQuality, mass_on_pairs, pair_truth
from avcap.metrics.map_quality import uniform_plan


def test_share_of_mass_on_true_pairs():
    plan = torch.tensor([[[0.4, 0.1], [0.1, 0.4]], [[1.0, 1.0], [1.0, 1.0]]])
    truth = torch.eye(2, dtype=torch.bool).expand(2, 2, 2)
    assert mass_on_pairs(plan, truth).tolist() == pytest.approx([0.8, 0.5])
    assert mass_on_pairs(7 * plan, truth).tolist() == pytest.approx([0.8, 0.5])  # the scale of a map says nothing


def test_mean_over_clips_beside_a_uniform_plan():
    metric = MapQuality()
    truth = torch.eye(4, dtype=torch.bool)
    metric.update(torch.eye(4)[None], truth[None])
    metric.update(torch.ones(1, 4, 4), truth[None])
    metric.update(torch.rand(2, 4, 4), torch.stack([torch.zeros(4, 4), torch.ones(4, 4)]).bool())  # nothing to tell
    values = {name: float(value) for name, value in metric.compute().items()}
    expected = {"map_mass": 0.625, "map_uniform": 0.25, "map_gain": 2.5, "map_skill": 0.5, "map_clips": 2}
    assert values == pytest.approx(expected)


def test_tokens_without_mass_are_not_in_the_uniform_plan():
    plan = torch.zeros(1, 3, 4)
    plan[:, :2, :3] = torch.tensor([[0.5, 0.1, 0.0], [0.1, 0.1, 0.2]])  # the 0 is of a real row and column
    assert uniform_plan(plan)[0].tolist() == [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    metric = MapQuality()
    truth = torch.zeros(1, 3, 4, dtype=torch.bool)
    truth[0, 0, 0] = truth[0, 2, 3] = True  # the second is of padding
    metric.update(plan, truth)
    assert float(metric.compute()["map_uniform"]) == pytest.approx(1 / 6)
    assert float(metric.compute()["map_gain"]) == pytest.approx(3.0)


def test_log_plans_and_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"pass its exp\(\)"):
        mass_on_pairs(torch.full((1, 2, 2), -1.0), torch.ones(1, 2, 2).bool())
    with pytest.raises(ValueError, match=r"got \(1, 2, 2\) and \(1, 2, 3\)"):
        mass_on_pairs(torch.ones(1, 2, 2), torch.ones(1, 2, 3).bool())
    with pytest.raises(ValueError, match=r"must both be \[B, Nv, Na\]"):
        MapQuality().update(torch.ones(2, 2), torch.ones(2, 2).bool())


def test_truth_from_times():
    times = {"audio_times": torch.tensor([0.5, 1.5, 2.5, 3.5]), "visual_times": torch.tensor([1.0, 3.0])}
    truth = pair_truth([(0, 2), (3, 4)], [(0, 4), (2, 4)], **times)
    assert truth.int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 1]]  # rows: 0-2 s and 2-4 s of the picture
    assert not pair_truth([], [], **times).any()
    with pytest.raises(ValueError, match="got 1 and 0"):
        pair_truth([(0, 1)], [], **times)


def test_the_streams_have_times_of_their_own():
    # 8 s of padded sound for a clip of 4 s: the last two tokens are padding
    times = {"audio_times": torch.tensor([1.0, 3.0, 5.0, 7.0]), "visual_times": torch.tensor([1.0, 3.0])}
    truth = pair_truth([(0, 9)], [(2, 4)], **times)
    assert truth.int().tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]
    truth = pair_truth([(0, 4)], [(2, 4)], **times)
    assert truth.int().tolist() == [[0, 0, 0, 0], [1, 1, 0, 0]]


def test_a_time_on_the_edge_of_a_span_counts_whatever_float32_makes_of_it():
    edges = torch.arange(100) * 0.01 + 0.01  # float32 lies above some of them, below others
    for place, edge in enumerate(range(1, 101)):
        assert pair_truth([(edge / 100, 9)], [(0, 9)], audio_times=edges, visual_times=edges[:1])[0, place]
        assert not pair_truth([(0, edge / 100)], [(0, 9)], audio_times=edges, visual_times=edges[:1])[0, place]


def test_a_token_at_an_unknown_time_belongs_to_nothing():
    times = {"audio_times": torch.tensor([1.0, torch.nan]), "visual_times": torch.tensor([torch.nan, 1.0])}
    assert pair_truth([(0, 9)], [(0, 9)], **times).int().tolist() == [[0, 0], [1, 0]]
