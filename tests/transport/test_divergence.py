"""The Sinkhorn divergence (geomloss)."""

from __future__ import annotations

import pytest
import torch
from geomloss import SamplesLoss
from torch import Tensor

from avcap.transport import sinkhorn_divergence


def sets(B: int = 3, N: int = 8, M: int = 5, C: int = 6) -> tuple[Tensor, Tensor]:
    return torch.randn(B, N, C), torch.randn(B, M, C)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_is_what_geomloss_computes_for_uniform_weights() -> None:
    x, y = sets()
    expected = SamplesLoss("sinkhorn", p=2, blur=0.1, scaling=0.6, backend="tensorized")(x, y)
    torch.testing.assert_close(sinkhorn_divergence(x, y, blur=0.1, scaling=0.6), expected, rtol=1e-5, atol=1e-5)


def test_is_what_geomloss_computes_for_given_masses() -> None:
    x, y = sets()
    a, b = torch.rand(3, 8).softmax(dim=1), torch.rand(3, 5).softmax(dim=1)
    expected = SamplesLoss("sinkhorn", p=2, blur=0.1, scaling=0.6, backend="tensorized")(a, x, b, y)
    found = sinkhorn_divergence(x, y, a=a, b=b, blur=0.1, scaling=0.6)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_moving_both_sets_changes_nothing() -> None:
    x, y = sets()
    torch.testing.assert_close(sinkhorn_divergence(x + 1000, y + 1000), sinkhorn_divergence(x, y), rtol=1e-3, atol=0)


def test_is_symmetric_and_positive() -> None:
    x, y = sets()
    forth, back = sinkhorn_divergence(x, y), sinkhorn_divergence(y, x)
    torch.testing.assert_close(forth, back, rtol=1e-4, atol=1e-5)
    assert (forth > 0.1).all()


def test_is_zero_for_equal_sets_in_any_order() -> None:
    x, _ = sets()
    torch.testing.assert_close(sinkhorn_divergence(x, x[:, torch.randperm(8)]), torch.zeros(3), rtol=0, atol=1e-5)


def test_of_two_points_is_half_their_squared_distance() -> None:
    x, y = torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[3.0, 4.0]]])
    torch.testing.assert_close(sinkhorn_divergence(x, y), torch.tensor([12.5]), rtol=1e-4, atol=0)


def test_masking_is_removing_even_for_the_annealing() -> None:
    x, y = (points + 100 for points in sets())  # far from zero
    padded = torch.cat([x, torch.full((3, 2, 6), torch.nan)], dim=1)
    mask = (torch.arange(10) < 8).expand(3, -1)
    masked, alone = sinkhorn_divergence(padded, y, mask_x=mask, scaling=0.1), sinkhorn_divergence(x, y, scaling=0.1)
    torch.testing.assert_close(masked, alone, rtol=1e-5, atol=1e-5)


def test_a_clip_without_a_set_is_zero_with_a_gradient_of_zero() -> None:
    x, y = sets()
    points = x.clone().requires_grad_()
    mask = torch.ones(3, 8, dtype=torch.bool)
    mask[1] = False
    values = sinkhorn_divergence(points, y, mask_x=mask)
    torch.testing.assert_close(values[[0, 2]], sinkhorn_divergence(x[[0, 2]], y[[0, 2]]), rtol=1e-4, atol=1e-5)
    assert values[1] == 0
    values.sum().backward()
    assert torch.isfinite(points.grad).all()
    assert points.grad[1].eq(0).all()
    assert points.grad[0].ne(0).any()


def test_a_clip_that_is_not_finite_is_nan_alone() -> None:
    x, y = sets()
    x[1, 0, 0] = torch.inf
    assert sinkhorn_divergence(x, y).isnan().tolist() == [False, True, False]


def test_an_empty_set_gives_zero_with_a_graph() -> None:
    _, y = sets()
    points = y.requires_grad_()
    loss = sinkhorn_divergence(torch.zeros(3, 0, 6), points).sum()
    loss.backward()
    assert loss.item() == 0
    assert points.grad.eq(0).all()


def test_gradient_moves_one_set_onto_the_other() -> None:
    x, y = sets(B=1, N=6, M=6, C=2)
    points = torch.nn.Parameter(x)
    start = sinkhorn_divergence(points, y, blur=0.01, scaling=0.8).item()
    for _ in range(25):
        (gradient,) = torch.autograd.grad(sinkhorn_divergence(points, y, blur=0.01, scaling=0.8).sum(), points)
        points.data -= 6 * 0.5 * gradient  # the gradient by a point is its way divided by the number of points
    assert sinkhorn_divergence(points, y, blur=0.01, scaling=0.8).item() < 0.01 * start


def test_is_float32_under_autocast_and_for_bfloat16() -> None:
    x, y = sets()
    plain = sinkhorn_divergence(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(sinkhorn_divergence(x, y), plain)
    half = sinkhorn_divergence(x.bfloat16(), y.bfloat16())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, plain, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("setting", [{"blur": 0.0}, {"scaling": 1.0}])
def test_wrong_settings_are_named(setting: dict) -> None:
    with pytest.raises(ValueError, match="blur above 0 and scaling between 0 and 1"):
        sinkhorn_divergence(*sets(), **setting)
