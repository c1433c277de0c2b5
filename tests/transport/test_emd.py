"""Exact transport, annealed Sinkhorn, and the gradient that both share."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from functools import partial
from itertools import pairwise, permutations

import ot
import pytest
import torch
from torch import Tensor

from avcap.transport import annealed_sinkhorn, emd, envelope, squared_euclidean_cost, transport_cost

SHARP = partial(annealed_sinkhorn, epsilon=2e-3, tolerance=1e-6, max_iterations=3000)
SOLVERS = pytest.mark.parametrize("solve", [emd, SHARP], ids=["exact", "sinkhorn"])


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def problem(B: int = 3, n: int = 7, m: int = 5, C: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Points and random masses, float64."""
    x, y = torch.randn(B, n, C).double(), torch.randn(B, m, C).double()
    return x, y, (torch.rand(B, n).double() + 0.5).softmax(1), (torch.rand(B, m).double() + 0.5).softmax(1)


def test_exact_is_the_best_of_all_assignments() -> None:
    cost = torch.rand(2, 5, 5).double()
    mass = torch.full((2, 5), 0.2).double()
    best = [min(sum(c[i, p[i]].item() for i in range(5)) / 5 for p in permutations(range(5))) for c in cost]
    value = (emd(cost, mass, mass).plan * cost).sum(dim=(1, 2))
    torch.testing.assert_close(value, torch.tensor(best, dtype=torch.float64), rtol=1e-12, atol=0)


def test_exact_matches_pot_with_gradients_by_points_and_masses() -> None:
    arguments = [t.requires_grad_() for t in problem()]
    ours = transport_cost(*arguments, solve=emd)
    theirs = torch.stack([ot.emd2(a, b, ot.dist(x, y)) for x, y, a, b in zip(*arguments, strict=True)])
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=0)
    for argument, mine, other in zip(
        arguments, torch.autograd.grad(ours.sum(), arguments), torch.autograd.grad(theirs.sum(), arguments), strict=True
    ):
        if argument.dim() == 2:  # masses of a fixed sum: a constant of the potentials is free
            mine, other = (g - g.mean(dim=1, keepdim=True) for g in (mine, other))
        torch.testing.assert_close(mine, other, rtol=1e-8, atol=1e-10)


def test_gradient_by_points_and_masses_agrees_with_finite_differences() -> None:
    def value(x: Tensor, y: Tensor, score_a: Tensor, score_b: Tensor) -> Tensor:
        return transport_cost(x, y, score_a.softmax(1), score_b.softmax(1), solve=emd)

    arguments = [t.requires_grad_() for t in problem(B=2, n=4, m=3)]
    assert torch.autograd.gradcheck(value, arguments, eps=1e-6, atol=1e-5)  # linear pieces: no plan changes within eps


def test_sinkhorn_gradient_is_that_of_the_regularised_cost() -> None:
    """``<P, C> + eps KL(P | ab)`` differs by P and by the potentials; central differences, relative step 1e-5."""
    x, y, a, b = problem(B=1, n=4, m=3)
    cost, epsilon = squared_euclidean_cost(x, y), 0.1
    mean = (a.unsqueeze(2) * cost * b.unsqueeze(1)).sum()

    def regularised(cost: Tensor, a: Tensor) -> tuple[float, object]:
        share = float(epsilon * mean / (a.unsqueeze(2) * cost * b.unsqueeze(1)).sum())  # the same absolute epsilon
        found = annealed_sinkhorn(cost, a, b, epsilon=share, tolerance=1e-12, max_iterations=5000)
        kl = (found.plan * (found.plan / (a.unsqueeze(2) * b.unsqueeze(1))).log()).sum()
        return float((found.plan * cost).sum() + epsilon * mean * kl), found

    _, found = regularised(cost, a)
    step = torch.zeros_like(cost)
    step[0, 1, 2] = 1e-5
    slope = (regularised(cost + step, a)[0] - regularised(cost - step, a)[0]) / 2e-5
    assert slope == pytest.approx(found.plan[0, 1, 2].item(), rel=1e-5)
    shift = torch.zeros_like(a)
    shift[0, 0], shift[0, 1] = 1e-5, -1e-5
    slope = (regularised(cost, a + shift)[0] - regularised(cost, a - shift)[0]) / 2e-5
    assert slope == pytest.approx((found.potential_a[0, 0] - found.potential_a[0, 1]).item(), rel=1e-4)


@SOLVERS
def test_plan_has_the_marginals_and_the_potentials_support_it(solve: Callable) -> None:
    x, y, a, b = problem()
    cost = squared_euclidean_cost(x, y)
    plan, f, g = solve(cost, a, b)
    torch.testing.assert_close(plan.sum(2), a, rtol=0, atol=1e-5)
    torch.testing.assert_close(plan.sum(1), b, rtol=0, atol=1e-9)
    dual = (f * a).sum(1) + (g * b).sum(1)
    torch.testing.assert_close((plan * cost).sum(dim=(1, 2)), dual, rtol=1e-2, atol=0)  # up to epsilon KL


def test_sinkhorn_tends_to_the_exact_cost_from_above() -> None:
    x, y, a, b = problem(B=4, n=20, m=16, C=8)
    exact = transport_cost(x, y, a, b, solve=emd)
    gaps = []
    for epsilon in (0.1, 0.03, 0.01, 0.001):
        solve = partial(annealed_sinkhorn, epsilon=epsilon, tolerance=1e-7, max_iterations=20000)
        gaps.append(transport_cost(x, y, a, b, solve=solve) / exact - 1)
    assert (gaps[-1] > -1e-6).all()
    assert all((wide > narrow).all() for wide, narrow in pairwise(gaps))
    assert (gaps[-1] < 1e-3).all()


@pytest.mark.parametrize("kind", ["gaussian", "clusters", "outliers", "copies", "far"])
def test_default_sinkhorn_is_near_the_exact_cost_in_float32(kind: str) -> None:
    """Within 1 % of the mean cost, on sets that need few iterations and on sets that need many."""
    x, y = torch.randn(2, 60, 32), torch.randn(2, 70, 32)
    if kind == "clusters":
        centres = 3 * torch.randn(2, 4, 32)
        x, y = x + centres[:, torch.randint(4, (60,))], y + centres[:, torch.randint(4, (70,))]
    elif kind == "outliers":
        y[:, ::20] *= 20
    elif kind == "copies":  # nearly a permutation: mass has to creep over pairs that cost hundreds of epsilon
        y = torch.cat([x, x[:, :10]], dim=1) + 0.1 * y
    elif kind == "far":
        y = y + 100
    a, b = torch.full((2, 60), 1 / 60), torch.full((2, 70), 1 / 70)
    cost = squared_euclidean_cost(x, y)
    plan = annealed_sinkhorn(cost, a, b).plan
    value, exact = ((p * cost).sum(dim=(1, 2)) for p in (plan, emd(cost, a, b).plan))
    assert ((value - exact).abs() < 0.01 * cost.mean(dim=(1, 2))).all()
    assert (plan.sum(2) - a).abs().sum(1).max() < 0.02
    torch.testing.assert_close(plan.sum(1), b, rtol=1e-4, atol=0)


@SOLVERS
def test_batch_is_clip_by_clip(solve: Callable) -> None:
    x, y, a, b = problem()
    whole = transport_cost(x, y, a, b, solve=solve)
    alone = torch.cat([transport_cost(*(t[i : i + 1] for t in (x, y, a, b)), solve=solve) for i in range(3)])
    # a clip iterates for as long as another one of its batch needs it, so the last digits may differ
    torch.testing.assert_close(whole, alone, rtol=1e-3 if solve is SHARP else 1e-12, atol=0)


@SOLVERS
def test_a_token_without_mass_is_as_good_as_removed(solve: Callable) -> None:
    x, y, a, b = problem()
    expected = transport_cost(x, y, a, b, solve=solve)
    far = torch.cat([x, torch.full((3, 2, 4), 9.0).double()], dim=1).requires_grad_()
    padded = torch.cat([a, torch.zeros(3, 2).double()], dim=1)
    value = transport_cost(far, y, padded, b, solve=solve)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    value.sum().backward()
    assert far.grad[:, 7:].eq(0).all()
    assert far.grad[:, :7].ne(0).any()


@SOLVERS
def test_a_clip_without_a_set_costs_nothing_and_a_broken_one_is_nan(solve: Callable) -> None:
    x, y, a, b = problem(B=4)
    b[1], x[2, 0] = 0, torch.nan
    x.requires_grad_()
    value = transport_cost(x, y, a, b, solve=solve)
    assert value[1] == 0
    assert value[2].isnan()
    torch.testing.assert_close(value[[0, 3]], transport_cost(*(t[[0, 3]] for t in (x, y, a, b)), solve=solve))
    value[[0, 1, 3]].sum().backward()
    assert torch.isfinite(x.grad[[0, 1, 3]]).all()


@SOLVERS
def test_equal_sets_and_empty_sets(solve: Callable) -> None:
    x, y, a, b = problem()
    assert transport_cost(x, x, a, a, solve=solve).max() < 2e-2
    empty = transport_cost(x[:, :0].requires_grad_(), y, a[:, :0], b, solve=solve)
    assert empty.eq(0).all()
    empty.sum().backward()


def test_leaves_autocast() -> None:
    x, y, a, b = (t.float() for t in problem(C=64))
    plain = transport_cost(x, y, a, b, solve=annealed_sinkhorn)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(transport_cost(x, y, a, b, solve=annealed_sinkhorn), plain)


def test_without_pot_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = builtins.__import__

    def lacking(name: str, *args: object, **kwargs: object) -> object:
        if name == "ot":
            raise ImportError(name)
        return genuine(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(ValueError, match=r"avcap\[transport\]"):
        emd(torch.rand(1, 2, 2), torch.full((1, 2), 0.5), torch.full((1, 2), 0.5))


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match="epsilon and tolerance above 0"):
        annealed_sinkhorn(torch.rand(1, 2, 2), torch.full((1, 2), 0.5), torch.full((1, 2), 0.5), epsilon=0.0)


def test_parts_of_a_batch_give_what_the_batch_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    points = torch.randn(5, 7, 3), torch.randn(5, 6, 3), torch.full((5, 7), 1 / 7), torch.full((5, 6), 1 / 6)
    found = []
    for pairs in (2**20, 2 * 7 * 6):  # all at once; 2, 2 and 1 clips
        monkeypatch.setattr(envelope, "CACHED_PAIRS", pairs)
        leaves = [x.clone().requires_grad_() for x in points]
        value = transport_cost(*leaves, solve=emd)
        value.square().sum().backward()
        found.append([value, *(x.grad for x in leaves)])
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(parts, whole)
