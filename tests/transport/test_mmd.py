"""The maximum mean discrepancy."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from avcap.transport import mmd
from avcap.transport.mmd import mean_squared_distance

MODULE = sys.modules["avcap.transport.mmd"]  # the package attribute of that name is the function


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def sets(B: int = 3, n: int = 7, m: int = 5, C: int = 4, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    return torch.randn(B, n, C, dtype=dtype), torch.randn(B, m, C, dtype=dtype) + 0.5


def one_clip(x: Tensor, y: Tensor) -> Tensor:
    """The definition, with every kernel computed by itself."""
    z = torch.cat([x, y])
    squares = (z.unsqueeze(0) - z.unsqueeze(1)).square().sum(-1)
    bandwidth = (squares.sum() / (len(z) * (len(z) - 1))).detach()
    kernel = sum((-squares / (bandwidth * 2.0**e)).exp() for e in range(-2, 3))
    n = len(x)
    return kernel[:n, :n].mean() - 2 * kernel[:n, n:].mean() + kernel[n:, n:].mean()


def test_matches_the_definition_with_its_gradients() -> None:
    x, y = (points.requires_grad_() for points in sets())
    values, expected = mmd(x, y), torch.stack([one_clip(*clip) for clip in zip(x, y, strict=True)])
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn(3, dtype=torch.float64)
    ours = torch.autograd.grad(values @ weights, (x, y))
    theirs = torch.autograd.grad(expected @ weights, (x, y))
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kernels", [1, 2, 5])
def test_gradient_agrees_with_finite_differences(kernels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # the bandwidth is a constant to the gradient, so it has to be one to the differences too
    monkeypatch.setattr(MODULE, "mean_squared_distance", lambda x, *_, **__: x.new_full((x.shape[0],), 3.0))
    x, y = (points.requires_grad_() for points in sets(B=2, n=4, m=3))
    mask = torch.tensor([[True, True, True, False], [True] * 4])
    assert torch.autograd.gradcheck(lambda x, y: mmd(x, y, mask_x=mask, kernels=kernels), (x, y))


def test_bandwidth_is_the_mean_over_pairs() -> None:
    x, y = sets()
    z = torch.cat([x, y], dim=1)
    squares = torch.cdist(z, z).square().sum(dim=(1, 2)) / (12 * 11)
    torch.testing.assert_close(mean_squared_distance(x, y), squares, rtol=1e-10, atol=0)


def test_is_zero_for_equal_sets_symmetric_and_blind_to_order() -> None:
    x, y = sets()
    torch.testing.assert_close(mmd(x, x[:, torch.randperm(7)]), torch.zeros(3).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(mmd(x, y), mmd(y, x), rtol=1e-12, atol=0)
    torch.testing.assert_close(mmd(x, y), mmd(x[:, torch.randperm(7)], y), rtol=1e-12, atol=0)
    assert (mmd(x, y) > 0.01).all()


def test_is_blind_to_place_and_scale() -> None:
    x, y = sets()
    torch.testing.assert_close(mmd(x, y), mmd(30 * x + 7, 30 * y + 7), rtol=1e-9, atol=0)


def test_masking_is_removing() -> None:
    x, y = sets(n=7)
    mask = (torch.arange(7) < 5).expand(3, -1)
    torch.testing.assert_close(mmd(x, y, mask_x=mask), mmd(x[:, :5], y), rtol=1e-12, atol=0)
    x = x.masked_fill(~mask.unsqueeze(-1), 100.0).requires_grad_()
    value = mmd(x, y, mask_x=mask)
    torch.testing.assert_close(value, mmd(x[:, :5], y), rtol=1e-9, atol=0)
    value.sum().backward()
    assert x.grad[:, 5:].eq(0).all()


def test_chunks_and_clips_alone_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = (points.requires_grad_() for points in sets(B=5))
    whole = mmd(x, y)
    alone = torch.cat([mmd(*(t[i : i + 1] for t in (x, y))) for i in range(5)])
    monkeypatch.setattr(MODULE, "CHUNK_CPU", 2 * 12 * 12)
    chunked = mmd(x, y)
    for values in (alone, chunked):
        torch.testing.assert_close(values, whole, rtol=1e-12, atol=0)
        torch.testing.assert_close(
            torch.autograd.grad(values.sum(), (x, y)), torch.autograd.grad(whole.sum(), (x, y), retain_graph=True)
        )


def test_a_clip_that_lacks_a_set_is_zero_with_a_zero_gradient() -> None:
    x, y = sets()
    mask = torch.ones(3, 7, dtype=torch.bool)
    mask[1] = False
    x.requires_grad_()
    values = mmd(x, y, mask_x=mask)
    values.sum().backward()
    assert values[1] == 0
    assert x.grad[1].eq(0).all()
    assert x.grad[[0, 2]].ne(0).any()


def test_one_repeated_point_is_finite() -> None:
    x = torch.ones(2, 3, 4, requires_grad=True)
    mmd(x, torch.ones(2, 3, 4)).sum().backward()
    assert x.grad.eq(0).all()


def test_is_float32_under_autocast_and_for_bfloat16() -> None:
    x, y = sets(C=64, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(mmd(x, y), mmd(x, y).float())
        under = mmd(x, y)
    assert torch.equal(under, mmd(x, y))
    half = mmd(x.bfloat16(), y.bfloat16())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, mmd(x, y), rtol=0.02, atol=1e-3)


def test_wrong_arguments_are_named() -> None:
    x, y = sets()
    with pytest.raises(ValueError, match=r"\[3, 7, 4\] and \[3, 5, 3\]"):
        mmd(x, y[..., :3])
    with pytest.raises(ValueError, match="kernels is 0"):
        mmd(x, y, kernels=0)
