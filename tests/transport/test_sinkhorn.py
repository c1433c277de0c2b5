"""The Sinkhorn solver: against POT and the plain formula, and by its properties."""

from __future__ import annotations

import math

import numpy as np
import ot
import ot.batch
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avcap.transport import cosine_similarity, marginals, sinkhorn
from avcap.transport._iterations import SAFE_SPAN, log_domain, scaling_form

properties = settings(max_examples=25, deadline=None, derandomize=True)
sizes = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
seeds = st.integers(0, 2**31)


def costs(size: tuple[int, int, int], seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Costs in [0, 2], as cosine costs are."""
    return 2 * torch.rand(size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def official_loop(cost: Tensor, epsilon: float, iterations: int) -> Tensor:
    """The iterations of LAVCap's code, one clip at a time."""
    plans = []
    for z in cost / -epsilon:
        u, v = z.new_zeros(z.shape[0]), z.new_zeros(z.shape[1])
        for _ in range(iterations):
            u = -math.log(z.shape[0]) - torch.logsumexp(z + v.unsqueeze(0), dim=1)
            v = -math.log(z.shape[1]) - torch.logsumexp(z + u.unsqueeze(1), dim=0)
        plans.append(z + u.unsqueeze(1) + v.unsqueeze(0))
    return torch.stack(plans)


@pytest.mark.parametrize("epsilon", [1.0, 0.1, 0.02, 0.005])
def test_matches_the_iterations_of_the_official_code(epsilon: float) -> None:
    cost = costs((4, 20, 64))
    log_plan = sinkhorn(cost, epsilon=epsilon, iterations=50).log_plan
    exact = official_loop(cost.double(), epsilon, 50)
    torch.testing.assert_close(
        log_plan.double(), exact, rtol=1e-6, atol=2e-6 / epsilon
    )  # float32 rounds cost / epsilon
    torch.testing.assert_close(log_plan.exp().double(), exact.exp(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("epsilon", [0.1, 0.02])
def test_matches_pot_one_problem_at_a_time(epsilon: float) -> None:
    cost = costs((3, 20, 64), seed=1)
    plan = sinkhorn(cost, epsilon=epsilon, iterations=50).plan
    uniform = [np.full(n, 1 / n) for n in cost.shape[1:]]
    for clip in range(3):
        # POT updates columns first; the transposed problem has the order used here
        theirs = ot.bregman.sinkhorn_log(
            uniform[1], uniform[0], cost[clip].T.double().numpy(), epsilon, numItermax=50, stopThr=0, warn=False
        ).T
        np.testing.assert_allclose(plan[clip].numpy(), theirs, atol=1e-5)


def test_matches_pot_batch_with_given_masses() -> None:
    cost = costs((5, 12, 30), seed=2, dtype=torch.float64)
    a = torch.rand(5, 12, dtype=torch.float64).softmax(1)
    b = torch.rand(5, 30, dtype=torch.float64).softmax(1)
    ours = sinkhorn(cost, epsilon=0.1, iterations=40, a=a, b=b)
    theirs = ot.batch.solve_batch(cost, reg=0.1, a=a, b=b, max_iter=40, tol=0.0, method="log_sinkhorn", grad="detach")
    torch.testing.assert_close(ours.plan, theirs.plan, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.value, theirs.value_linear, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scaling_form_agrees_with_the_log_domain_up_to_its_largest_span(dtype: torch.dtype) -> None:
    for span in (1.0, 20.0, SAFE_SPAN[dtype]):
        score = -costs((6, 20, 64), seed=3, dtype=dtype) / 2 * span
        log_a, log_b = score.new_full((6, 20), -math.log(20)), score.new_full((6, 64), -math.log(64))
        log_a[0], log_b[0] = -math.log(3), -math.log(57)  # a clip with padding
        log_a[0, 3:], log_b[0, :7] = -torch.inf, -torch.inf
        slow, fast = (f(score, log_a, log_b, iterations=50) for f in (log_domain, scaling_form))
        exact = log_domain(score.double(), log_a.double(), log_b.double(), iterations=50)
        precision = torch.finfo(dtype).eps * max(span, 16)
        torch.testing.assert_close(fast.double(), exact, rtol=0, atol=8 * precision)
        torch.testing.assert_close(fast.exp(), slow.exp(), rtol=0, atol=1e-6)


def test_very_small_epsilon_stays_finite_and_feasible() -> None:
    log_plan, value = sinkhorn(costs((2, 10, 10)), epsilon=1e-4, iterations=200)
    assert torch.isfinite(log_plan).all()
    assert torch.isfinite(value).all()
    torch.testing.assert_close(log_plan.exp().sum(1), torch.full((2, 10), 0.1), atol=1e-3, rtol=0)


@properties
@given(size=sizes, seed=seeds, epsilon=st.sampled_from([0.03, 0.1, 0.5]))
def test_column_sums_are_exact_and_the_mass_is_one(size: tuple[int, int, int], seed: int, epsilon: float) -> None:
    plan = sinkhorn(costs(size, seed), epsilon=epsilon, iterations=20).plan
    rows, columns = marginals(plan)
    torch.testing.assert_close(columns, torch.full_like(columns, 1 / size[2]), rtol=1e-4, atol=0)
    torch.testing.assert_close(rows.sum(1), torch.ones(size[0]), rtol=1e-4, atol=0)


@properties
@given(size=sizes, seed=seeds)
def test_row_sums_converge(size: tuple[int, int, int], seed: int) -> None:
    rows, _ = marginals(sinkhorn(costs(size, seed), epsilon=0.5, iterations=300).plan)
    torch.testing.assert_close(rows, torch.full_like(rows, 1 / size[1]), rtol=1e-4, atol=1e-6)


@properties
@given(size=sizes, seed=seeds)
def test_is_symmetric_at_convergence(size: tuple[int, int, int], seed: int) -> None:
    cost = costs(size, seed)
    forth, back = (sinkhorn(c, epsilon=0.5, iterations=300) for c in (cost, cost.mT))
    torch.testing.assert_close(forth.plan, back.plan.mT, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(forth.value, back.value, rtol=1e-4, atol=1e-6)


@properties
@given(size=sizes, seed=seeds)
def test_permuting_tokens_permutes_the_plan(size: tuple[int, int, int], seed: int) -> None:
    cost = costs(size, seed)
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.randperm(size[1], generator=generator), torch.randperm(size[2], generator=generator)
    plan = sinkhorn(cost, epsilon=0.1).plan
    torch.testing.assert_close(
        sinkhorn(cost[:, rows][:, :, columns], epsilon=0.1).plan, plan[:, rows][:, :, columns], rtol=1e-4, atol=1e-6
    )


@properties
@given(size=sizes, seed=seeds, factor=st.floats(0.01, 100), shift=st.floats(-50, 50))
def test_scaling_cost_and_epsilon_together_or_shifting_changes_nothing(
    size: tuple[int, int, int], seed: int, factor: float, shift: float
) -> None:
    cost = costs(size, seed, torch.float64)
    plan, value = sinkhorn(cost, epsilon=0.1).plan, sinkhorn(cost, epsilon=0.1).value
    scaled = sinkhorn(factor * (cost + shift), epsilon=0.1 * factor)
    torch.testing.assert_close(scaled.plan, plan, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(scaled.value, factor * (value + shift), rtol=1e-8, atol=1e-8)


@properties
@given(
    size=sizes,
    seed=seeds,
    extra=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    garbage=st.sampled_from([0.0, 1e4, math.nan]),
)
def test_masking_tokens_is_removing_them(
    size: tuple[int, int, int], seed: int, extra: tuple[int, int], garbage: float
) -> None:
    B, n, m = size
    cost = costs(size, seed)
    padded = torch.full((B, n + extra[0], m + extra[1]), garbage)
    padded[:, :n, :m] = cost
    mask_a = (torch.arange(n + extra[0]) < n).expand(B, -1)
    mask_b = (torch.arange(m + extra[1]) < m).expand(B, -1)
    alone, masked = sinkhorn(cost, epsilon=0.1), sinkhorn(padded, epsilon=0.1, mask_a=mask_a, mask_b=mask_b)
    torch.testing.assert_close(masked.log_plan[:, :n, :m], alone.log_plan, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(masked.value, alone.value, rtol=1e-5, atol=1e-6)
    assert torch.isneginf(masked.log_plan[:, n:]).all()
    assert torch.isneginf(masked.log_plan[:, :, m:]).all()


@pytest.mark.parametrize("grad", ["detach", "autodiff"])
def test_an_absent_side_gives_a_zero_plan_and_finite_gradients(grad: str) -> None:
    cost = costs((3, 5, 7)).requires_grad_()
    mask_a = torch.ones(3, 5, dtype=torch.bool)
    mask_b = torch.ones(3, 7, dtype=torch.bool)
    mask_a[0], mask_b[1], mask_a[2, 3:] = False, False, False
    plan = sinkhorn(cost, epsilon=0.1, mask_a=mask_a, mask_b=mask_b, grad=grad)
    assert plan.plan[:2].eq(0).all()
    assert plan.value[:2].eq(0).all()
    torch.testing.assert_close(plan.plan[2].sum(), torch.tensor(1.0))
    (plan.value.sum() + plan.plan.square().sum()).backward()
    assert torch.isfinite(cost.grad).all()
    assert cost.grad[:2].eq(0).all()
    assert cost.grad[2, :3].ne(0).any()


def test_a_token_of_no_mass_is_a_masked_token() -> None:
    cost = costs((2, 4, 5), dtype=torch.float64)
    a = torch.tensor([[0.5, 0.5, 0.0, 1.0]]).double().expand(2, -1)
    given_mass = sinkhorn(cost, epsilon=0.1, a=a)
    without = sinkhorn(cost[:, [0, 1, 3]], epsilon=0.1, a=a[:, [0, 1, 3]])
    torch.testing.assert_close(given_mass.plan[:, [0, 1, 3]], without.plan)
    assert given_mass.plan[:, 2].eq(0).all()


@pytest.mark.parametrize("shape", [(2, 0, 5), (2, 5, 0), (0, 3, 3)])
def test_empty_sets_give_empty_plans(shape: tuple[int, int, int]) -> None:
    plan = sinkhorn(torch.zeros(shape), epsilon=0.1)
    assert plan.log_plan.shape == shape
    assert plan.value.tolist() == [0.0] * shape[0]


def test_autodiff_gradients_equal_finite_differences() -> None:
    cost = costs((2, 3, 4), dtype=torch.float64).requires_grad_()
    a = torch.rand(2, 3, dtype=torch.float64).add(0.5).requires_grad_()
    b = torch.rand(2, 4, dtype=torch.float64).add(0.5).requires_grad_()
    mask = torch.tensor([[True, True, True], [True, False, True]])

    def solve(cost: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        plan = sinkhorn(cost, epsilon=0.3, iterations=15, a=a, b=b, mask_a=mask, grad="autodiff")
        return plan.plan, plan.value

    assert torch.autograd.gradcheck(solve, (cost, a, b))


def test_detached_plan_is_a_constant_and_the_value_has_the_plan_as_gradient() -> None:
    cost = costs((2, 3, 4)).requires_grad_()
    solved = sinkhorn(cost, epsilon=0.1, grad="detach")
    assert not solved.log_plan.requires_grad
    solved.value.sum().backward()
    torch.testing.assert_close(cost.grad, solved.plan)


def test_autodiff_and_detach_solve_the_same_problem() -> None:
    cost = costs((4, 20, 64))
    torch.testing.assert_close(
        sinkhorn(cost, epsilon=0.1, grad="autodiff").log_plan, sinkhorn(cost, epsilon=0.1).log_plan, rtol=0, atol=1e-5
    )


def test_plan_is_full_precision_under_autocast_and_for_half_inputs() -> None:
    x, y = torch.randn(2, 20, 48), torch.randn(2, 64, 48)
    plain = sinkhorn(1 - cosine_similarity(x, y), epsilon=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = sinkhorn(1 - cosine_similarity(x, y), epsilon=0.1)
    assert under.log_plan.dtype == torch.float32
    assert torch.equal(under.log_plan, plain.log_plan)
    assert torch.equal(under.value, plain.value)
    assert sinkhorn(1 - cosine_similarity(x.bfloat16(), y.bfloat16()), epsilon=0.1).log_plan.dtype == torch.float32
    assert sinkhorn(1 - cosine_similarity(x.double(), y.double()), epsilon=0.1).log_plan.dtype == torch.float64


def test_the_input_is_not_changed() -> None:
    cost = costs((2, 3, 4))
    before = cost.clone()
    sinkhorn(cost, epsilon=0.1)
    assert torch.equal(cost, before)


def test_runs_on_the_meta_device() -> None:
    plan = sinkhorn(torch.empty(2, 3, 4, device="meta"), epsilon=0.1)
    assert plan.log_plan.shape == (2, 3, 4)
    assert plan.value.shape == (2,)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"epsilon": 0.0}, "epsilon is 0.0"),
        ({"epsilon": 0.1, "iterations": 0}, "iterations is 0"),
        ({"epsilon": 0.1, "grad": "none"}, "grad is 'none'"),
        ({"epsilon": 0.1, "mask_a": torch.ones(2, 4, dtype=torch.bool)}, r"mask_a has shape \[2, 4\]"),
        ({"epsilon": 0.1, "b": torch.ones(2, 3)}, r"b has shape \[2, 3\]"),
    ],
)
def test_wrong_settings_are_named(settings_: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sinkhorn(torch.rand(2, 3, 4), **settings_)


def test_wrong_costs_are_named() -> None:
    with pytest.raises(ValueError, match=r"got torch.float32 \[3, 4\]"):
        sinkhorn(torch.rand(3, 4), epsilon=0.1)
