"""Token masks."""

from __future__ import annotations

import torch

from avcap.layers.masking import concat_time, fall_back, masked_mean, zero_padding
from avcap.types import Tokens


def test_zero_padding_removes_nan() -> None:
    x = torch.ones(1, 3, 2)
    x[0, 2] = torch.nan
    clean = zero_padding(Tokens(x, torch.tensor([[True, True, False]])))
    assert clean.x.tolist() == [[[1, 1], [1, 1], [0, 0]]]
    assert zero_padding(Tokens(x)).x is x


def test_masked_mean_ignores_the_rest_and_is_zero_for_nothing() -> None:
    values = torch.tensor([1.0, torch.nan, 3.0], requires_grad=True)
    mean = masked_mean(values, torch.tensor([True, False, True]))
    assert mean.item() == 2
    mean.backward()
    assert values.grad.tolist() == [0.5, 0, 0.5]
    assert masked_mean(values, torch.zeros(3, dtype=torch.bool)).item() == 0


def test_concat_time_keeps_masks() -> None:
    first, second = Tokens(torch.zeros(2, 3, 4)), Tokens(torch.ones(2, 2, 4))
    assert concat_time(first, second).mask is None
    mask = torch.tensor([[True, False], [True, True]])
    both = concat_time(first, second._replace(mask=mask))
    assert both.x.shape == (2, 5, 4)
    assert both.mask.tolist() == [[True] * 3 + [True, False], [True] * 5]


def test_fall_back_takes_the_other_tokens_for_clips_that_have_none() -> None:
    tokens = Tokens(torch.ones(2, 2, 1), torch.tensor([[True, False], [False, False]]))
    other = Tokens(torch.full((2, 3, 1), 5.0))
    out = fall_back(tokens, other)
    assert out.x[..., 0].tolist() == [[1, 1, 0], [5, 5, 5]]
    assert out.mask.tolist() == [[True, False, False], [True, True, True]]
    assert fall_back(Tokens(tokens.x), other).x is tokens.x
    assert torch.equal(fall_back(Tokens(tokens.x[:, :0]), other).x, other.x)
    assert torch.equal(fall_back(other, Tokens(tokens.x[:, :0])).x, other.x)


def test_times_are_joined_and_unknown_ones_are_nan() -> None:
    first, second = Tokens(torch.zeros(1, 2, 4), time=torch.tensor([[0.5, 1.5]])), Tokens(torch.ones(1, 1, 4))
    assert concat_time(second, second).time is None
    assert concat_time(first, first).time.tolist() == [[0.5, 1.5, 0.5, 1.5]]
    mixed = concat_time(first, second).time[0]
    assert mixed[:2].tolist() == [0.5, 1.5]
    assert mixed[2].isnan()


def test_fall_back_takes_the_times_of_the_tokens_it_takes() -> None:
    tokens = Tokens(torch.ones(2, 2, 1), torch.tensor([[True, True], [False, False]]), torch.tensor([[1.0, 2.0]] * 2))
    other = Tokens(torch.ones(2, 3, 1), None, torch.tensor([[5.0, 6.0, 7.0]] * 2))
    time = fall_back(tokens, other).time
    assert time[0, :2].tolist() == [1, 2]
    assert time[0, 2].isnan()  # padding
    assert time[1].tolist() == [5, 6, 7]
