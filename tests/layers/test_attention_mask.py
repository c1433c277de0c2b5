"""Masks for attention: none where nothing is padded, never an empty row."""

from __future__ import annotations

import torch

from avcap.layers.attention_mask import attention_mask, whole_clips


def test_no_mask_where_nothing_is_padded() -> None:
    assert attention_mask(None) is None
    assert attention_mask(torch.ones(2, 3, dtype=torch.bool)) is None
    assert attention_mask(torch.tensor([[True] * 3, [False] * 3])) is None  # a clip without tokens pads nothing


def test_a_clip_without_tokens_keeps_a_finite_attention() -> None:
    real = torch.tensor([[True, False, True], [False] * 3])
    assert attention_mask(real).tolist() == [[True, False, True], [True] * 3]


def test_without_data_the_mask_is_kept() -> None:
    assert attention_mask(torch.ones(2, 3, dtype=torch.bool, device="meta")).shape == (2, 3)


def test_whole_clips() -> None:
    assert whole_clips(torch.tensor([[True, False], [False, False]]), 3).tolist() == [[True] * 3, [False] * 3]
