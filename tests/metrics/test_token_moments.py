"""Mean and covariance over batches."""

from __future__ import annotations

import pytest
import torch

from avcap.metrics.token_moments import TokenMoments
from avcap.types import Tokens


def test_moments_are_those_of_all_real_tokens():
    x = torch.randn(5, 7, 3) * torch.tensor([1.0, 10.0, 0.1]) + torch.tensor([0.0, 100.0, -3.0])
    mask = torch.arange(7) < torch.tensor([7, 1, 3, 7, 2]).unsqueeze(1)  # [5, 7]
    moments = TokenMoments(3)
    moments.update(Tokens(x[:2].masked_fill(~mask[:2].unsqueeze(-1), torch.nan), mask[:2]))
    moments.update(Tokens(x[2:], mask[2:]))
    mean, covariance = moments.compute()
    real = x[mask].double()  # [20, 3]
    torch.testing.assert_close(mean, real.mean(0))
    torch.testing.assert_close(covariance, torch.cov(real.mT, correction=0))


def test_without_a_token_there_is_no_mean():
    moments = TokenMoments(3)
    moments.update(Tokens(torch.ones(2, 4, 3), torch.zeros(2, 4, dtype=torch.bool)))
    with pytest.raises(ValueError, match="no tokens"):
        moments.compute()
