"""Cross-attention between token sets."""

from __future__ import annotations

import pytest
import torch

from avcap.layers.cross_attention import CrossAttentionLayer
from avcap.types import Tokens


@pytest.fixture
def layer() -> CrossAttentionLayer:
    torch.manual_seed(0)
    return CrossAttentionLayer(16, heads=2).eval()


def test_masked_context_is_removed_context(layer: CrossAttentionLayer) -> None:
    query, context = Tokens(torch.randn(2, 5, 16)), torch.randn(2, 7, 16)
    mask = (torch.arange(7) < 4).expand(2, -1)
    masked, weights = layer(query, Tokens(context, mask))
    alone, _ = layer(query, Tokens(context[:, :4]))
    torch.testing.assert_close(masked.x, alone.x)
    assert weights[..., 4:].eq(0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 5))


def test_clip_without_context_keeps_its_queries(layer: CrossAttentionLayer) -> None:
    layer.train()
    query = torch.randn(2, 5, 16, requires_grad=True)
    context = torch.randn(2, 3, 16, requires_grad=True)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    out, weights = layer(Tokens(query), Tokens(context, mask))
    assert torch.equal(out.x[1], query[1])
    assert not torch.allclose(out.x[0], query[0])
    assert weights is None
    out.x.square().sum().backward()
    assert torch.isfinite(query.grad).all()
    assert torch.isfinite(context.grad).all()


def test_empty_context_keeps_the_queries(layer: CrossAttentionLayer) -> None:
    query = Tokens(torch.randn(2, 5, 16))
    out, weights = layer(query, Tokens(torch.zeros(2, 0, 16)))
    assert torch.equal(out.x, query.x)
    assert weights.shape == (2, 5, 0)


def test_without_queries_there_is_nothing(layer: CrossAttentionLayer) -> None:
    out, weights = layer(Tokens(torch.zeros(2, 0, 16)), Tokens(torch.randn(2, 3, 16)))
    assert out.x.shape == (2, 0, 16)
    assert weights.shape == (2, 0, 3)


@pytest.mark.parametrize(
    ("width", "heads", "message"), [(48, None, "width 48 gets no head .* set heads"), (48, 5, "cannot have 5 heads")]
)
def test_impossible_heads_are_named(width: int, heads: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrossAttentionLayer(width, heads=heads)
