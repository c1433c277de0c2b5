"""What a picture of an assignment map is made of."""

from __future__ import annotations

import pytest
import torch

from avcap.callbacks.samples import picture_parts


def batch() -> dict:
    """Two clips of 64 spectrogram rows: one whole, one with 32 rows of sound and no pictures."""
    rows = torch.zeros(2, 64, dtype=torch.bool)
    rows[0], rows[1, :32] = True, True
    seen = torch.tensor([[True] * 3, [False] * 3])
    return {
        "id": ["a", "b"],
        "audio": torch.randn(2, 64, 8),
        "audio_mask": rows,
        "frames": torch.zeros(2, 3, 3, 4, 4, dtype=torch.uint8),
        "frames_mask": seen,
        "references": [["one"], ["two"]],
    }


def test_a_map_is_cut_to_the_sound_that_is_real():
    data = batch()
    data["frames_mask"][1] = True
    plan = torch.rand(2, 3, 16)  # a token is 4 rows
    parts = picture_parts(data, plan, 1, "a dog barks", bands=1, hop=0.01)
    assert parts["plan"].shape == (3, 8)
    assert parts["fbank"].shape == (32, 8)
    assert parts["seconds"] == 0.32
    assert (parts["caption"], parts["references"]) == ("a dog barks", ["two"])


def test_bands_of_sound_are_summed_and_the_map_is_one_over_time():
    # 4 bands of 4 times, time fastest; the clip has sound at the first two times
    data = batch()
    data["frames_mask"][1] = True
    plan = torch.zeros(2, 3, 16)
    plan[1, 0, [0, 12]] = 1.0  # the first time, in the lowest and the highest band
    plan[1, 2, [1, 5, 9]] = 2.0  # the second time, in all bands but the highest
    plan[1, 1, [2, 15]] = 5.0  # the padding
    parts = picture_parts(data, plan, 1, "", bands=4, hop=0.01)
    assert parts["plan"].tolist() == [[2, 0], [0, 0], [0, 6]]
    assert (parts["fbank"].shape, parts["seconds"]) == ((32, 8), 0.32)
    with pytest.raises(ValueError, match=r"a map \[3, 16\] has 16 audio tokens, which make no 3 bands"):
        picture_parts(data, plan, 1, "", bands=3, hop=0.01)


def test_a_clip_without_both_streams_has_no_picture():
    plan = torch.rand(2, 3, 16)
    assert picture_parts(batch(), plan, 0, "", bands=1, hop=0.01) is not None
    assert picture_parts(batch(), plan, 1, "", bands=1, hop=0.01) is None
    silent = {key: value for key, value in batch().items() if not key.startswith("audio")}
    assert picture_parts(silent, plan, 0, "", bands=1, hop=0.01) is None


def test_of_a_waveform_the_spectrogram_is_drawn():
    data = {**batch(), "audio": torch.randn(2, 6400), "audio_mask": torch.ones(2, 6400, dtype=torch.bool)}
    parts = picture_parts(data, torch.rand(2, 3, 16), 0, "", bands=1, hop=1 / 16_000)
    assert (parts["fbank"].shape, parts["seconds"]) == ((38, 64), 0.4)
