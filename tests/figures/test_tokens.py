"""The picture of image tokens and audio tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avcap.figures.tokens import figure_tokens, project


def cloud(n: int = 30, C: int = 8) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(n, C) * torch.tensor([9.0, 5.0] + [0.1] * (C - 2)) + 7


def test_the_plane_is_that_of_the_images_whatever_the_audio_is() -> None:
    image = cloud()
    seen, heard, shown = project(image, image[:10] + 3)
    same, far, _ = project(image, torch.randn(5, 8) * 100)
    np.testing.assert_allclose(seen, same)
    assert heard.shape == (10, 2)
    assert far.shape == (5, 2)
    assert shown > 0.99
    centred = (image - image.mean(0)).double()
    np.testing.assert_allclose(np.abs(seen[:, 0]), centred[:, 0].abs().numpy(), atol=0.5)
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-6)


def test_equal_tokens_lie_on_each_other() -> None:
    seen, heard, _ = project(cloud(), cloud())
    np.testing.assert_allclose(seen, heard)


@pytest.mark.parametrize(("joined", "lines"), [(12, 12), (0, 0), (99, 30)])
def test_a_line_joins_the_two_tokens_of_a_clip(joined: int, lines: int) -> None:
    image, audio = cloud(), cloud() + 4
    figure = figure_tokens(image, audio, joined=joined)
    seen, heard, _ = project(image, audio)
    drawn = figure.axes[0].collections[0].get_segments()
    assert len(drawn) == lines
    ends = {tuple(np.round(row, 6)) for row in seen}, {tuple(np.round(row, 6)) for row in heard}
    places = {tuple(np.round(row, 6)): i for i, row in enumerate(seen)}
    for start, end in drawn:
        assert tuple(np.round(start, 6)) in ends[0]
        np.testing.assert_allclose(heard[places[tuple(np.round(start, 6))]], end, atol=1e-6)


def test_one_clip_or_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="two images"):
        project(cloud(1), cloud())
    with pytest.raises(ValueError, match="differ in shape"):
        figure_tokens(cloud(), cloud(C=4))
