"""What a picture of an assignment map is made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avcap.data.collate import row_times
from avcap.figures.maps import by_time
from avcap.figures.parts import picture_parts
from avcap.types import AssignmentMap

SEEN = [0.05, 0.15, 0.25]


def batch() -> dict:
    """Two clips of 64 spectrogram rows: one whole, one with 32 rows of sound and no pictures."""
    rows = torch.zeros(2, 64, dtype=torch.bool)
    rows[0], rows[1, :32] = True, True
    seen = torch.tensor([[True] * 3, [False] * 3])
    return {
        "id": ["a", "b"],
        "audio": torch.randn(2, 64, 8),
        "audio_mask": rows,
        "audio_time": row_times(64, 0.01).expand(2, -1),
        "frames": torch.zeros(2, 3, 3, 4, 4, dtype=torch.uint8),
        "frames_mask": seen,
        "frames_time": torch.tensor([SEEN] * 2),
        "references": [["one"], ["two"]],
    }


def found(plan: torch.Tensor, bands: int = 1) -> AssignmentMap:
    """A map of clips of 0.64 s, whose audio tokens run through it once a band."""
    times = plan.shape[2] // bands
    audio = ((torch.arange(times) + 0.5) * (0.64 / times)).repeat(bands)
    return AssignmentMap(plan, torch.tensor([SEEN] * len(plan)), audio.expand(len(plan), -1))


def test_a_map_is_cut_to_the_sound_that_is_real():
    data = batch()
    data["frames_mask"][1] = True
    parts = picture_parts(data, found(torch.rand(2, 3, 16)), 1, "a dog barks")  # a token is 4 rows
    assert np.isnan(parts["audio_time"]).tolist() == [False] * 8 + [True] * 8
    assert parts["audio_time"][:2] == pytest.approx([0.02, 0.06])
    assert parts["fbank"].shape == (32, 8)
    assert len(parts["fbank_time"]) == 32
    assert parts["frames_time"] == pytest.approx(SEEN)
    assert parts["seconds"] == pytest.approx(0.32)
    assert (parts["caption"], parts["references"]) == ("a dog barks", ["two"])


def test_the_axis_reaches_pictures_after_the_sound():
    data = batch()
    data["frames_mask"][1] = True
    data["frames_time"] = torch.tensor([[0.1, 0.3, 0.5]] * 2)
    assert picture_parts(data, found(torch.rand(2, 3, 16)), 1, "")["seconds"] == pytest.approx(0.6)


def test_padded_pictures_are_left_out():
    data = batch()
    data["frames_mask"][0, 2], data["frames_time"][0, 2] = False, torch.nan
    parts = picture_parts(data, found(torch.rand(2, 3, 16)), 0, "")
    assert len(parts["frames"]) == len(parts["frames_time"]) == 2


def test_bands_of_sound_are_summed_and_the_map_is_one_over_time():
    # 4 bands of 4 times, time fastest; the clip has sound at the first two times
    data = batch()
    data["frames_mask"][1] = True
    plan = torch.zeros(2, 3, 16)
    plan[1, 0, [0, 12]] = 1.0  # the first time, in the lowest and the highest band
    plan[1, 2, [1, 5, 9]] = 2.0  # the second time, in all bands but the highest
    plan[1, 1, [2, 15]] = 5.0  # the padding
    parts = picture_parts(data, found(plan, bands=4), 1, "")
    timed = by_time(parts["plan"], visual_time=parts["visual_time"], audio_time=parts["audio_time"])
    assert (timed.mass * 8 / 6).tolist() == pytest.approx(np.array([[2, 0], [0, 0], [0, 6]]))
    assert timed.audio_time == pytest.approx([0.08, 0.24])
    assert (parts["fbank"].shape, parts["seconds"]) == ((32, 8), pytest.approx(0.32))


def test_a_clip_without_both_streams_or_without_times_has_no_picture():
    maps = found(torch.rand(2, 3, 16))
    assert picture_parts(batch(), maps, 0, "") is not None
    assert picture_parts(batch(), maps, 1, "") is None
    silent = {key: value for key, value in batch().items() if not key.startswith("audio")}
    assert picture_parts(silent, maps, 0, "") is None
    unknown = maps._replace(visual_time=torch.full((2, 3), torch.nan))
    assert picture_parts(batch(), unknown, 0, "") is None


def test_of_a_waveform_the_spectrogram_is_drawn():
    data = {**batch(), "audio": torch.randn(2, 6400), "audio_mask": torch.ones(2, 6400, dtype=torch.bool)}
    data["audio_time"] = row_times(6400, 1 / 16_000).expand(2, -1)
    parts = picture_parts(data, found(torch.rand(2, 3, 16)), 0, "")
    assert (parts["fbank"].shape, parts["fbank_time"].shape) == ((38, 64), (38,))
    assert parts["fbank_time"][:2] == pytest.approx([0.005, 0.015], abs=1e-4)
