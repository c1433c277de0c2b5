from __future__ import annotations

import numpy as np
import pytest

from avcap.study.report.bootstrap import Difference, mean_and_std, paired_bootstrap


def test_spread():
    assert mean_and_std(np.array([1.0, 3.0])) == (2.0, pytest.approx(2**0.5), 2)  # n - 1 in the denominator
    assert mean_and_std(np.array([0.5])) == (0.5, None, 1)


def test_matches_resampling_one_by_one():
    differences = np.random.default_rng(3).gamma(1.0, 1.0, (2, 40)) - 0.8
    found = paired_bootstrap(differences, resamples=20_000)
    generator = np.random.default_rng(4)
    means = np.array([differences[:, generator.integers(40, size=40)].mean(1) for _ in range(20_000)])
    for system, difference in enumerate(found):
        assert difference.mean == pytest.approx(differences[system].mean(), abs=1e-12)
        expected = np.quantile(means[:, system], [0.025, 0.975])
        # the error of a quantile of 20,000 draws is some 0.015 standard deviations
        np.testing.assert_allclose(difference[1:], expected, atol=0.06 * means[:, system].std())


def test_intervals_cover_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(5)
    differences = generator.normal(0.3, 1.0, (400, 100))  # 400 experiments of 100 clips; the truth is 0.3
    covered = np.mean([d.low < 0.3 < d.high for d in paired_bootstrap(differences, resamples=1000)])
    assert 0.90 < covered < 0.98  # 0.95 less the bootstrap's known lack of some 0.01; 3 standard errors are 0.033


def test_a_constant_difference_has_no_width_and_draws_are_repeatable():
    (same,) = paired_bootstrap(np.full((1, 30), 0.25))
    assert same == pytest.approx((0.25, 0.25, 0.25), abs=1e-12)
    differences = np.random.default_rng(0).normal(size=(3, 700))
    assert paired_bootstrap(differences) == paired_bootstrap(differences)
    assert paired_bootstrap(differences) != paired_bootstrap(differences, seed=1)
    alone = paired_bootstrap(differences[1:2])[0]
    assert paired_bootstrap(differences)[1] == pytest.approx(alone, abs=1e-12)  # all systems share one set of draws


def test_clear_and_empty():
    assert Difference(0.2, 0.1, 0.3).clear
    assert Difference(-0.2, -0.3, -0.1).clear
    assert not Difference(0.1, -0.1, 0.3).clear
    with pytest.raises(ValueError, match="at least one clip"):
        paired_bootstrap(np.empty((2, 0)))
