"""The Sinkhorn divergence (geomloss)."""

from __future__ import annotations

import pytest
import torch
from geomloss import SamplesLoss

from avcap.losses import SinkhornDivergence, sinkhorn_divergence
from avcap.types import Tokens


def sets(B: int = 3, N: int = 8, M: int = 5, C: int = 6) -> tuple[Tokens, Tokens]:
    return Tokens(torch.randn(B, N, C)), Tokens(torch.randn(B, M, C))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_is_what_geomloss_computes_for_uniform_weights() -> None:
    x, y = sets()
    expected = SamplesLoss("sinkhorn", p=2, blur=0.1, scaling=0.6, backend="tensorized")(x.x, y.x)
    torch.testing.assert_close(sinkhorn_divergence(x, y, blur=0.1, scaling=0.6), expected, rtol=1e-5, atol=1e-5)


def test_moving_both_sets_changes_nothing() -> None:
    x, y = sets()
    far = sinkhorn_divergence(Tokens(x.x + 1000), Tokens(y.x + 1000))
    torch.testing.assert_close(far, sinkhorn_divergence(x, y), rtol=1e-3, atol=0)


def test_is_symmetric_and_positive() -> None:
    x, y = sets()
    forth, back = sinkhorn_divergence(x, y), sinkhorn_divergence(y, x)
    torch.testing.assert_close(forth, back, rtol=1e-4, atol=1e-5)
    assert (forth > 0.1).all()


def test_is_zero_for_equal_sets_in_any_order() -> None:
    x, _ = sets()
    values = sinkhorn_divergence(x, Tokens(x.x[:, torch.randperm(8)]))
    torch.testing.assert_close(values, torch.zeros(3), rtol=0, atol=1e-5)


def test_of_two_points_is_half_their_squared_distance() -> None:
    x, y = torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[3.0, 4.0]]])
    torch.testing.assert_close(sinkhorn_divergence(Tokens(x), Tokens(y)), torch.tensor([12.5]), rtol=1e-4, atol=0)


def test_masking_is_removing_even_for_the_annealing() -> None:
    x, y = (Tokens(tokens.x + 100) for tokens in sets())  # far from the zeros of padding
    padded = torch.cat([x.x, torch.full((3, 2, 6), torch.nan)], dim=1)
    mask = (torch.arange(10) < 8).expand(3, -1)
    masked, alone = (sinkhorn_divergence(t, y, scaling=0.1) for t in (Tokens(padded, mask), x))
    torch.testing.assert_close(masked, alone, rtol=1e-5, atol=1e-5)


def test_a_clip_without_a_set_takes_no_part_and_its_gradient_is_zero() -> None:
    x, y = sets()
    points = x.x.clone().requires_grad_()
    mask = torch.ones(3, 8, dtype=torch.bool)
    mask[1] = False
    values = sinkhorn_divergence(Tokens(points, mask), y)
    assert values[1] == 0
    loss = SinkhornDivergence(weight=2.0)(Tokens(points, mask), y)
    torch.testing.assert_close(loss, 2 * values[[0, 2]].mean())
    loss.backward()
    assert torch.isfinite(points.grad).all()
    assert points.grad[1].eq(0).all()
    assert points.grad[0].ne(0).any()


def test_an_empty_set_gives_zero_with_a_graph() -> None:
    _, y = sets()
    points = y.x.requires_grad_()
    loss = SinkhornDivergence()(Tokens(torch.zeros(3, 0, 6)), Tokens(points))
    loss.backward()
    assert loss.item() == 0
    assert points.grad.eq(0).all()


def test_gradient_moves_one_set_onto_the_other() -> None:
    x, y = sets(B=1, N=6, M=6, C=2)
    points = torch.nn.Parameter(x.x)
    loss = SinkhornDivergence(blur=0.01, scaling=0.8)
    start = loss(Tokens(points), y).item()
    for _ in range(25):
        (gradient,) = torch.autograd.grad(loss(Tokens(points), y), points)
        points.data -= 6 * 0.5 * gradient  # the gradient by a point is its way divided by the number of points
    assert loss(Tokens(points), y).item() < 0.01 * start


def test_is_float32_under_autocast_and_for_bfloat16() -> None:
    x, y = sets()
    plain = SinkhornDivergence(normalise=True)(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(SinkhornDivergence(normalise=True)(x, y), plain)
    half = SinkhornDivergence(normalise=True)(Tokens(x.x.bfloat16()), Tokens(y.x.bfloat16()))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, plain, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize(("setting", "message"), [({"blur": 0.0}, "blur is 0.0"), ({"scaling": 1.0}, "scaling is 1.0")])
def test_wrong_settings_are_named(setting: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SinkhornDivergence(**setting)
