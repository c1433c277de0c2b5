"""Times of tokens that cover several inputs."""

from __future__ import annotations

import pytest
import torch

from avcap.layers.token_time import mean_times
from avcap.types import AssignmentMap, Tokens


def test_a_token_stands_at_the_mean_of_what_it_covers() -> None:
    assert mean_times(torch.tensor([[0.0, 1.0, 2.0, 5.0, 9.0]]), 2).tolist() == [[0.5, 3.5]]  # the last is dropped
    assert mean_times(None, 2) is None


def test_padding_beside_a_real_input_does_not_count() -> None:
    real = torch.tensor([[True, True, False, True, False, False]])
    time = torch.tensor([[0.0, 1.0, torch.nan, 5.0, 6.0, 8.0]])
    assert mean_times(time, 2, real=real).tolist() == [[0.5, 5.0, 7.0]]


def test_a_tensor_becomes_tokens_at_unknown_times() -> None:
    tokens = Tokens.of(torch.zeros(2, 3, 4))
    assert tokens.mask is None
    assert tokens.full_time().isnan().all()
    assert tokens.full_time().shape == (2, 3)
    assert Tokens.of(tokens) is tokens
    with pytest.raises(ValueError, match=r"got a tensor of shape \[2, 3\]"):
        Tokens.of(torch.zeros(2, 3))


def test_a_map_is_timed_by_both_of_its_streams() -> None:
    known, unknown = Tokens(torch.zeros(1, 2, 4), time=torch.tensor([[0.0, torch.nan]])), Tokens(torch.zeros(1, 3, 4))
    assert AssignmentMap.of(torch.ones(1, 2, 2), visual=known, audio=known).is_timed()
    assert not AssignmentMap.of(torch.ones(1, 2, 3), visual=known, audio=unknown).is_timed()
