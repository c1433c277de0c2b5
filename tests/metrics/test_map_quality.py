from __future__ import annotations

import pytest
import torch

from avcap.metrics import MapQuality, mass_on_pairs, pair_truth


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
    assert values == pytest.approx({"map_mass": 0.625, "map_uniform": 0.25, "map_gain": 2.5, "map_clips": 2})


def test_log_plans_and_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"pass its exp\(\)"):
        mass_on_pairs(torch.full((1, 2, 2), -1.0), torch.ones(1, 2, 2).bool())
    with pytest.raises(ValueError, match=r"got \(1, 2, 2\) and \(1, 2, 3\)"):
        mass_on_pairs(torch.ones(1, 2, 2), torch.ones(1, 2, 3).bool())
    with pytest.raises(ValueError, match=r"must both be \[B, Nv, Na\]"):
        MapQuality().update(torch.ones(2, 2), torch.ones(2, 2).bool())


def test_truth_from_times():
    truth = pair_truth([(0, 2), (3, 4)], [(0, 4), (2, 4)], seconds=4, audio_tokens=4, visual_tokens=2)
    assert truth.int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 1]]  # rows: 0-2 s and 2-4 s of the picture
    assert not pair_truth([], [], seconds=4, audio_tokens=4, visual_tokens=2).any()
    with pytest.raises(ValueError, match="got 1 and 0"):
        pair_truth([(0, 1)], [], seconds=4, audio_tokens=4, visual_tokens=2)
