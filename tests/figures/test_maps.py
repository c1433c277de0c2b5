from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from avcap.figures.maps import by_frame, draw_map, figure_map

EVENTS = [
    {"kind": "dog", "name": "dog barking", "audio": [0.5, 2.0], "visual": [0.0, 2.5]},
    {"kind": "rain", "name": None, "audio": [0.0, 5.0], "visual": None},
    {"kind": "truck", "name": "truck", "audio": None, "visual": [2.0, 5.0]},
]


def parts(**changes: object) -> dict:
    generator = torch.Generator().manual_seed(0)
    return {
        "fbank": torch.randn(500, 64, generator=generator),
        "frames": torch.randint(0, 255, (8, 3, 32, 48), dtype=torch.uint8, generator=generator),
        "plan": torch.rand(8, 32, generator=generator).bfloat16(),
        "seconds": 5.0,
        "events": EVENTS,
        "caption": "a dog barks while rain falls",
        "references": ["Rain falls as a dog barks " * 8],
        **changes,
    }


def test_the_picture_is_written_and_shows_everything(tmp_path):
    figure = draw_map(tmp_path / "deep" / "map.png", **parts())
    with Image.open(tmp_path / "deep" / "map.png") as picture:
        assert picture.width == 1200
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 200
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    labels = {label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel())}
    names = {label.get_text() for label in figure.axes[2].get_yticklabels()}
    assert {"a dog barks while rain falls", "0.3 s", "dog barking"} <= texts
    assert {"time of the sound (s)", "time of the picture (s)", "mel bin", "plan mass (1 = uniform plan)"} <= labels
    assert names == {"dog barking", "rain", "truck"}


def test_the_map_is_drawn_in_seconds_with_a_box_where_both_are_known():
    axes = figure_map(**parts()).axes[0]
    assert axes.get_xlim() == (0, 5)
    assert axes.get_ylim() == (5, 0)
    (box,) = axes.patches
    assert (*box.get_xy(), box.get_width(), box.get_height()) == (0.5, 0.0, 1.5, 2.5)


@pytest.mark.parametrize(
    "changes",
    [
        {"events": None, "references": None, "caption": ""},
        {"frames": torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "plan": torch.ones(1, 1)},
        {"plan": torch.rand(8 * 4, 10), "seconds": 0.3, "events": EVENTS * 5},
        {"frames": np.zeros((20, 3, 90, 160), np.uint8), "fbank": np.zeros((3, 4))},
    ],
    ids=["bare", "one token", "patches and many events", "twenty silent frames"],
)
def test_odd_clips_can_be_drawn(tmp_path, changes):
    draw_map(tmp_path / "map.png", **parts(**changes))
    assert (tmp_path / "map.png").stat().st_size > 5000


def test_patches_of_a_frame_are_summed_and_uniform_is_one():
    plan = np.arange(12.0).reshape(6, 2)
    summed = by_frame(plan, frames=3)
    assert summed.shape == (3, 2)
    assert summed[0] / summed.sum() == pytest.approx((plan[0] + plan[1]) / plan.sum())
    assert summed.mean() == pytest.approx(1)
    assert by_frame(np.ones((5, 2)), frames=3).shape == (5, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plan": torch.rand(8, 32).log()}, r"pass its exp\(\)"),
        ({"plan": torch.rand(1, 8, 32)}, r"expected plan \[Nv, Na\], got the shape \[1, 8, 32\]"),
        ({"frames": torch.zeros(8, 32, 32, 3)}, r"expected frames \[N, 3, H, W\]"),
        ({"seconds": 0.0}, "seconds must be positive"),
    ],
)
def test_wrong_input_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        figure_map(**parts(**changes))
