"""Frames on the audio grid."""

from __future__ import annotations

import torch

from avcap.layers.placement import concat_channels, frame_rows, place_frames
from avcap.types import Tokens


def test_rows_are_those_of_the_official_code() -> None:
    assert frame_rows(20, 64).tolist() == list(range(0, 60, 3))
    assert frame_rows(10, 10).tolist() == list(range(10))


def test_more_frames_than_rows_share_rows_and_are_averaged() -> None:
    assert frame_rows(4, 2).tolist() == [0, 0, 1, 1]
    video = Tokens(torch.tensor([[[1.0], [3.0], [5.0], [0.0]]]), torch.tensor([[True, True, True, False]]))
    placed = place_frames(video, 2)
    assert placed.x.tolist() == [[[2.0], [5.0]]]
    assert placed.mask.tolist() == [[True, True]]


def test_frames_are_not_repeated() -> None:
    placed = place_frames(Tokens(torch.ones(1, 2, 3)), 5)
    assert placed.x[0, :, 0].tolist() == [1, 0, 1, 0, 0]
    assert placed.mask.tolist() == [[True, False, True, False, False]]


def test_masks_join() -> None:
    audio = Tokens(torch.ones(2, 4, 1), torch.tensor([[True, True, True, False], [False] * 4]))
    video = Tokens(torch.ones(2, 2, 2))
    fused = concat_channels(audio, video)
    assert fused.x.shape == (2, 4, 3)
    assert fused.mask.tolist() == [[True, True, True, False], [True, False, True, False]]


def test_without_audio_rows_the_frames_make_the_grid() -> None:
    fused = concat_channels(Tokens(torch.zeros(2, 0, 3)), Tokens(torch.ones(2, 4, 2)))
    assert fused.x.shape == (2, 4, 5)
    assert fused.x[..., :3].eq(0).all()
    assert fused.x[..., 3:].eq(1).all()
    assert fused.full_mask().all()
