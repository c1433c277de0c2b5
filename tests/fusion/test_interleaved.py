"""Tokens in the order of time."""

from __future__ import annotations

import pytest
import torch

from avcap.fusion import Interleaved
from avcap.types import Tokens

HEARD, SEEN = torch.tensor([[1.0, 3.0, 5.0]]), torch.tensor([[0.5, 3.0]])


def tokens(time: torch.Tensor | None, first: float, mask: torch.Tensor | None = None, n: int = 3) -> Tokens:
    """Tokens ``[1, n, 2]`` that hold their own number, counted from ``first``."""
    return Tokens((torch.arange(n) + first).view(1, n, 1).expand(-1, -1, 2).clone(), mask, time)


def test_tokens_stand_in_the_order_of_time_sound_first():
    out = Interleaved(2, 2)(tokens(HEARD, 0.0), tokens(SEEN, 10.0, n=2)).tokens
    assert out.x[0, :, 0].tolist() == [10, 0, 1, 11, 2]
    assert out.time.tolist() == [[0.5, 1, 3, 3, 5]]
    assert out.mask is None


def test_the_order_of_the_given_tokens_says_nothing():
    order = torch.tensor([2, 0, 1])
    audio, video = tokens(HEARD, 0.0), tokens(SEEN, 10.0, n=2)
    mixed = Tokens(audio.x[:, order], None, HEARD[:, order])
    assert torch.equal(Interleaved(2, 2)(mixed, video).tokens.x, Interleaved(2, 2)(audio, video).tokens.x)


def test_padding_comes_last_and_has_no_effect():
    audio = tokens(HEARD, 0.0, torch.tensor([[False, True, True]]))
    audio.x[0, 0] = torch.nan
    out = Interleaved(2, 2)(audio, tokens(SEEN, 10.0, n=2)).tokens
    assert out.mask.tolist() == [[True] * 4 + [False]]
    assert out.x[0, :4, 0].tolist() == [10, 1, 11, 2]
    assert out.x.isfinite().all()


def test_a_missing_stream_leaves_the_other():
    audio = tokens(HEARD, 0.0)
    assert torch.equal(Interleaved(2, 2)(audio, None).tokens.x, audio.x)
    assert torch.equal(Interleaved(2, 2)(None, audio).tokens.x, audio.x)


def test_unknown_times_are_refused():
    with pytest.raises(ValueError, match="the visual tokens have none"):
        Interleaved(2, 2)(tokens(HEARD, 0.0), tokens(None, 10.0))


def test_gradients_reach_both_streams():
    fusion, audio, video = Interleaved(2, 4), tokens(HEARD, 0.0), Tokens(torch.randn(1, 2, 4), None, SEEN)
    audio.x.requires_grad_()
    fusion(audio, video).tokens.x.square().sum().backward()
    assert audio.x.grad[0, 1:].all()
    assert fusion.visual_projection.weight.grad.any()
