"""Pairwise costs."""

from __future__ import annotations

import pytest
import torch

from avcap.transport import cosine_similarity, squared_euclidean_cost


def test_cosine_matches_torch_pair_by_pair() -> None:
    x, y = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    expected = torch.nn.functional.cosine_similarity(x.unsqueeze(2), y.unsqueeze(1), dim=-1)
    torch.testing.assert_close(cosine_similarity(x, y), expected, rtol=0, atol=1e-6)


def test_cosine_of_a_zero_vector_is_zero_with_a_finite_gradient() -> None:
    x = torch.randn(1, 3, 8)
    x[0, 1] = 0
    x.requires_grad_()
    similarity = cosine_similarity(x, torch.randn(1, 4, 8))
    assert similarity[0, 1].eq(0).all()
    similarity.sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_squared_euclidean_matches_the_definition(offset: float) -> None:
    x, y = torch.randn(2, 6, 16) + offset, torch.randn(2, 4, 16) + offset
    expected = (x.double().unsqueeze(2) - y.double().unsqueeze(1)).square().sum(-1)
    torch.testing.assert_close(squared_euclidean_cost(x, y).double(), expected, rtol=1e-3, atol=1e-4)


def test_squared_euclidean_is_never_negative_and_its_gradient_is_exact() -> None:
    x = torch.randn(2, 6, 16)
    assert squared_euclidean_cost(x, x).min() >= 0
    points = torch.randn(1, 3, 2, dtype=torch.float64, requires_grad=True)
    others = torch.randn(1, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(squared_euclidean_cost, (points, others))


def test_costs_leave_autocast() -> None:
    x, y = torch.randn(2, 3, 64), torch.randn(2, 5, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = squared_euclidean_cost(x, y), cosine_similarity(x, y)
    assert torch.equal(under[0], squared_euclidean_cost(x, y))
    assert torch.equal(under[1], cosine_similarity(x, y))


@pytest.mark.parametrize("cost", [cosine_similarity, squared_euclidean_cost])
def test_points_of_unequal_width_are_named(cost: object) -> None:
    with pytest.raises(ValueError, match=r"got \[2, 3, 8\] and \[2, 5, 9\]; project"):
        cost(torch.randn(2, 3, 8), torch.randn(2, 5, 9))
