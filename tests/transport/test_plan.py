"""What is read off a plan."""

from __future__ import annotations

import torch

from avcap.transport import apply_plan, barycentric_projection, marginals, sinkhorn


def test_marginals_sum_rows_and_columns() -> None:
    rows, columns = marginals(torch.tensor([[[0.1, 0.2, 0.0], [0.3, 0.1, 0.3]]]))
    torch.testing.assert_close(rows, torch.tensor([[0.3, 0.7]]))
    torch.testing.assert_close(columns, torch.tensor([[0.4, 0.3, 0.3]]))


def test_barycentric_projection_of_a_sharp_plan_is_the_matched_point() -> None:
    y = torch.randn(2, 4, 8)
    permutation = torch.tensor([2, 0, 3, 1])
    plan = torch.eye(4)[permutation].expand(2, -1, -1) / 4
    torch.testing.assert_close(barycentric_projection(plan, y), y[:, permutation])
    torch.testing.assert_close(apply_plan(plan, y), y[:, permutation] / 4)


def test_barycentric_projection_of_constant_points_is_that_constant() -> None:
    plan = sinkhorn(torch.rand(2, 5, 7), epsilon=0.1).plan
    y = torch.full((2, 7, 3), 2.5)
    torch.testing.assert_close(barycentric_projection(plan, y), torch.full((2, 5, 3), 2.5))


def test_rows_without_mass_are_zero_with_finite_gradients() -> None:
    plan = torch.rand(1, 3, 4)
    plan[0, 1] = 0
    plan.requires_grad_()
    out = barycentric_projection(plan, torch.randn(1, 4, 2))
    assert out[0, 1].eq(0).all()
    out.sum().backward()
    assert torch.isfinite(plan.grad).all()


def test_applying_a_plan_leaves_autocast() -> None:
    plan, y = torch.rand(2, 5, 7), torch.randn(2, 7, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = apply_plan(plan, y)
    assert torch.equal(under, plan @ y)
