"""What a picture of an assignment map is made of."""

from __future__ import annotations

import torch

from avcap.callbacks.samples import picture_parts


def batch() -> dict:
    """Two clips of 64 spectrogram rows: one whole, one with 32 rows of sound and no pictures."""
    rows = torch.zeros(2, 64, dtype=torch.bool)
    rows[0], rows[1, :32] = True, True
    seen = torch.tensor([[True] * 3, [False] * 3])
    return {
        "id": ["a", "b"],
        "fbank": torch.randn(2, 64, 8),
        "fbank_mask": rows,
        "frames": torch.zeros(2, 3, 3, 4, 4, dtype=torch.uint8),
        "frames_mask": seen,
        "references": [["one"], ["two"]],
    }


def test_a_map_is_cut_to_the_sound_that_is_real():
    data = batch()
    data["frames_mask"][1] = True
    plan = torch.rand(2, 3, 16)  # a token is 4 rows
    parts = picture_parts(data, plan, 1, "a dog barks")
    assert parts["plan"].shape == (3, 8)
    assert parts["fbank"].shape == (32, 8)
    assert parts["seconds"] == 0.32
    assert (parts["caption"], parts["references"]) == ("a dog barks", ["two"])


def test_a_clip_without_both_streams_has_no_picture():
    plan = torch.rand(2, 3, 16)
    assert picture_parts(batch(), plan, 0, "") is not None
    assert picture_parts(batch(), plan, 1, "") is None
    silent = {key: value for key, value in batch().items() if not key.startswith("fbank")}
    assert picture_parts(silent, plan, 0, "") is None
