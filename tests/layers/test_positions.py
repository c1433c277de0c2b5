"""Sine-cosine positions: the published formula, the order of a grid, fitting in time."""

from __future__ import annotations

import math

import pytest
import torch

from avcap.layers.positions import resample_steps, sincos_grid, sincos_line


def test_line_is_the_formula() -> None:
    line = sincos_line(5, 6)
    for place in range(5):
        for i in range(3):
            angle = place / 10_000 ** (i / 3)
            assert line[place, i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert line[place, 3 + i].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_grid_has_the_column_in_the_first_half_and_the_faster_index() -> None:
    grid = sincos_grid(3, 5, 8).unflatten(0, (3, 5))
    for row in range(3):
        assert torch.equal(grid[row, :, :4], sincos_line(5, 4))
    for column in range(5):
        assert torch.equal(grid[:, column, 4:], sincos_line(3, 4))


def test_widths_that_cannot_be_split_are_refused() -> None:
    with pytest.raises(ValueError, match="even number of channels, not 5"):
        sincos_line(3, 5)
    with pytest.raises(ValueError, match="multiple of 4 channels, not 6"):
        sincos_grid(3, 3, 6)


def test_resampling_is_linear_in_time_and_exact_for_equal_steps() -> None:
    steps = torch.tensor([0.0, 1.0, 2.0, 3.0]).repeat_interleave(9).view(1, 36, 1)
    assert resample_steps(steps, 4, places=9) is steps
    two = resample_steps(steps, 2, places=9).view(2, 9)
    torch.testing.assert_close(two, torch.tensor([[0.5], [2.5]]).expand(2, 9))
