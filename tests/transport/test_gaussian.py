"""The optimal map between normal distributions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avcap.transport import gaussian_map


def covariance(seed: int, width: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(width, 3 * width, generator=generator, dtype=torch.float64)
    return factor @ factor.mT / width


def test_the_map_turns_one_covariance_into_the_other():
    source, target = covariance(0), covariance(1)
    found = gaussian_map(source, target, floor=0.0)
    torch.testing.assert_close(found @ source @ found, target)
    torch.testing.assert_close(found, found.mT)
    assert torch.linalg.eigvalsh(found)[0] > 0


def test_the_map_is_optimal():
    """Its cost is the Bures distance; the map of the Cholesky factors, which also fits, costs more."""
    source, target = covariance(2), covariance(3)
    found = gaussian_map(source, target, floor=0.0)

    def cost(matrix: Tensor) -> Tensor:  # E |x - A x|^2
        rest = matrix - torch.eye(5, dtype=torch.float64)
        return (rest @ source @ rest.mT).trace()

    root = _root(source)
    bures = source.trace() + target.trace() - 2 * _root(root @ target @ root).trace()
    other = torch.linalg.cholesky(target) @ torch.linalg.inv(torch.linalg.cholesky(source))
    torch.testing.assert_close(other @ source @ other.mT, target)
    torch.testing.assert_close(cost(found), bures)
    assert cost(other) > bures + 0.01


def test_diagonal_covariances_are_scaled_channel_by_channel():
    source, target = torch.tensor([1.0, 4.0, 9.0]), torch.tensor([4.0, 4.0, 1.0])
    found = gaussian_map(source.diag(), target.diag(), floor=0.0)
    torch.testing.assert_close(found, (target / source).sqrt().diag())


def test_directions_without_variance_are_not_blown_up():
    source, target = torch.tensor([1.0, 1e-9, 0.0]).diag(), torch.eye(3)
    found = gaussian_map(source, target, floor=0.01).diagonal()
    torch.testing.assert_close(found, torch.tensor([1.0, 10.0, 10.0]))
    still = gaussian_map(torch.zeros(3, 3), target)
    assert torch.equal(still, torch.zeros(3, 3))


def test_a_floor_out_of_range_is_refused():
    with pytest.raises(ValueError, match="floor"):
        gaussian_map(torch.eye(2), torch.eye(2), floor=2.0)


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.sqrt()) @ vectors.mT
