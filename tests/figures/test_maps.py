from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from avcap.figures.maps import by_time, draw_map, edges, figure_map

EVENTS = [
    {"kind": "dog", "name": "dog barking", "audio": [0.5, 2.0], "visual": [0.0, 2.5]},
    {"kind": "rain", "name": None, "audio": [0.0, 5.0], "visual": None},
    {"kind": "truck", "name": "truck", "audio": None, "visual": [2.0, 5.0]},
]


def parts(**changes: object) -> dict:
    generator = torch.Generator().manual_seed(0)
    parts = {
        "fbank": torch.randn(500, 64, generator=generator),
        "frames": torch.randint(0, 255, (8, 3, 32, 48), dtype=torch.uint8, generator=generator),
        "plan": torch.rand(8, 32, generator=generator).bfloat16(),
        "seconds": 5.0,
        "events": EVENTS,
        "caption": "a dog barks while rain falls",
        "references": ["Rain falls as a dog barks " * 8],
        **changes,
    }
    even = {"visual_time": parts["plan"].shape[-2], "audio_time": parts["plan"].shape[-1]}
    return {**{name: (torch.arange(n) + 0.5) * parts["seconds"] / n for name, n in even.items()}, **parts}


def test_the_picture_is_written_and_shows_everything(tmp_path):
    figure = draw_map(tmp_path / "deep" / "map.png", **parts())
    with Image.open(tmp_path / "deep" / "map.png") as picture:
        assert picture.width == 1200
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 200
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    labels = {label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel())}
    names = {label.get_text() for label in figure.axes[2].get_yticklabels()}
    assert {"a dog barks while rain falls", "0.3 s", "dog barking"} <= texts
    assert {"time of the sound (s)", "time of the frame (s)", "mel bin", "plan mass (1 = uniform plan)"} <= labels
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
        {
            "plan": torch.rand(8 * 4, 10),
            "seconds": 0.3,
            "events": EVENTS * 5,
            "visual_time": torch.arange(32) // 4 * 0.03,
        },
        {"frames": np.zeros((20, 3, 90, 160), np.uint8), "fbank": np.zeros((3, 4))},
    ],
    ids=["bare", "one token", "patches and many events", "twenty silent frames"],
)
def test_odd_clips_can_be_drawn(tmp_path, changes):
    draw_map(tmp_path / "map.png", **parts(**changes))
    assert (tmp_path / "map.png").stat().st_size > 5000


def test_tokens_of_one_time_are_summed_and_uniform_is_one():
    plan, seen = np.arange(12.0).reshape(6, 2), np.array([1.0, 1.0, 3.0, 3.0, 5.0, 5.0])
    timed = by_time(plan, visual_time=seen, audio_time=np.array([0.5, 1.5]))
    assert timed.visual_time.tolist() == [1, 3, 5]
    assert timed.mass[0] / timed.mass.sum() == pytest.approx((plan[0] + plan[1]) / plan.sum())
    assert timed.mass.mean() == pytest.approx(1)
    uneven = by_time(np.ones((5, 2)), visual_time=np.array([1.0, 1, 1, 2, 2]), audio_time=np.array([0.5, 0.5]))
    assert uneven.mass.tolist() == [[1], [1]]  # a uniform plan, whatever the number of tokens of a time


def test_tokens_at_unknown_times_are_left_out():
    timed = by_time(np.eye(3), visual_time=np.array([1.0, np.nan, 2.0]), audio_time=np.array([1.0, 2.0, np.nan]))
    assert timed.mass.tolist() == [[4, 0], [0, 0]]
    with pytest.raises(ValueError, match="not all zero"):
        by_time(np.eye(2), visual_time=np.array([1.0, np.nan]), audio_time=np.array([np.nan, 1.0]))
    with pytest.raises(ValueError, match=r"a plan \[2, 2\] cannot have the times of 3 and 2 tokens"):
        by_time(np.eye(2), visual_time=np.arange(3.0), audio_time=np.arange(2.0))


def test_the_order_of_tokens_changes_nothing():
    wanted, generator = parts(), torch.Generator().manual_seed(1)
    rows, columns = torch.randperm(8, generator=generator), torch.randperm(32, generator=generator)
    mixed = parts(
        plan=wanted["plan"][rows][:, columns],
        visual_time=wanted["visual_time"][rows],
        audio_time=wanted["audio_time"][columns],
    )
    first, second = (figure_map(**one).axes[0].collections[0] for one in (wanted, mixed))
    np.testing.assert_allclose(first.get_array(), second.get_array(), rtol=1e-12)
    np.testing.assert_array_equal(first.get_coordinates(), second.get_coordinates())


def test_cells_end_halfway_between_times():
    assert edges(np.array([1.0, 3.0, 4.0])).tolist() == [0, 2, 3.5, 4.5]
    assert edges(np.array([2.0, 3.0])).tolist() == [1.5, 2.5, 3.5]  # pictures of the middle of a clip
    assert edges(np.array([0.1, 3.0]))[0] == 0
    assert edges(np.array([2.5])).tolist() == [0, 5]


def test_rows_and_pictures_stand_at_their_times():
    times = np.array([1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5])
    figure = figure_map(**parts(frames_time=times, fbank_time=(np.arange(500) + 0.5) * 0.005))
    assert [text.get_position()[0] for text in figure.axes[1].texts] == times.tolist()
    assert figure.axes[3].images[0].get_extent()[:2] == pytest.approx([0, 2.5])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plan": torch.rand(8, 32).log()}, r"pass its exp\(\)"),
        ({"plan": torch.rand(1, 8, 32)}, r"expected plan \[Nv, Na\], got the shape \[1, 8, 32\]"),
        ({"frames": torch.zeros(8, 32, 32, 3)}, r"expected frames \[N, 3, H, W\]"),
        ({"seconds": 0.0}, "seconds must be positive"),
        ({"audio_time": None}, "a plan needs visual_time and audio_time"),
        ({"frames_time": torch.full((8,), torch.nan)}, "frames_time must hold the times of all 8"),
    ],
)
def test_wrong_input_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        figure_map(**parts(**changes))
