from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avcap.losses import AttentiveOTAlignment, ContrastiveAlignment, OTAlignment
from avcap.study.report.collect import CellRuns, Group, Run
from avcap.study.report.curves import Curve
from avcap.study.report.text_tables import markdown
from notebooks.figures import (
    captions_of,
    descend,
    figure_convergence,
    figure_descent,
    figure_differences,
    figure_distances,
    figure_gains,
    figure_patches,
    figure_planes,
    figure_plans,
    figure_similarities,
    figure_words,
    scene_differences,
)

EVENT = {"kind": "dog", "audio": [1.0, 2.0], "visual": [0.0, 2.5]}


def two_clips() -> tuple[torch.Tensor, torch.Tensor]:
    """Audio tokens and image tokens of two clips in the plane; the audio is the same and the images lie elsewhere."""
    generator = torch.Generator().manual_seed(0)
    image = torch.tensor([[[0.0, 2.0]], [[2.0, 0.0]]]) + 0.2 * torch.randn(2, 12, 2, generator=generator)
    return torch.tensor([0.5, 0.5]) + 0.2 * torch.randn(2, 12, 2, generator=generator), image


def test_transport_brings_the_tokens_home_and_contrast_only_tells_clips_apart():
    audio, image = two_clips()
    transport = descend(OTAlignment(), audio, image, steps=60, lr=0.1)
    contrast = descend(ContrastiveAlignment(), audio, image, steps=60, lr=0.1)
    assert transport.places.shape == (61, 2, 12, 2)
    assert torch.equal(transport.places[0], audio)
    assert transport.divergence[0] == contrast.divergence[0]
    assert transport.divergence[-1] < 0.02 * transport.divergence[0]
    assert contrast.divergence[-1] > 0.1 * contrast.divergence[0]
    means = torch.nn.functional.cosine_similarity(contrast.places[-1].mean(1), image.mean(1))  # [2]
    assert (means > torch.nn.functional.cosine_similarity(audio.mean(1), image.mean(1))).all()


def test_scorers_learn_beside_the_tokens_and_their_masses_are_kept():
    audio, image = two_clips()
    objective = AttentiveOTAlignment(2, heads=1)
    before = objective.image_scorer.query.weight.clone()
    found = descend(objective, audio, image, steps=3)
    assert not torch.equal(before, objective.image_scorer.query.weight)
    assert found.image_mass.sum(dim=1).tolist() == pytest.approx([1, 1])
    figure = figure_descent(image, {"attentive": found, "again": found})
    assert [axes.get_title("left") for axes in figure.axes[::2][:2]] == ["attentive", "again"]
    assert len(figure.axes) == 2 * 2 + 1


def test_plans_share_their_colours_and_show_true_pairs():
    plans = [[torch.eye(4) + 0.01, torch.ones(4, 4)]]
    even = torch.tensor([0.625, 1.875, 3.125, 4.375])
    times = {"visual_time": even, "audio_time": even, "seconds": 5.0}
    events = [EVENT, {"audio": [0, 1], "visual": None}]
    figure = figure_plans(plans, rows=["a"], columns=["b", "c"], **times, events=events)
    sharp, flat = (axes.collections[0] for axes in figure.axes[:2])
    assert sharp.get_clim() == flat.get_clim()
    assert np.abs(flat.get_array()).max() < 1e-6  # log2 of 1
    assert sharp.get_array()[0, 0] == pytest.approx(np.log2(1.01 / (4.16 / 16)), abs=1e-6)
    (box,) = figure.axes[0].patches
    assert (*box.get_xy(), box.get_width(), box.get_height()) == (1.0, 0.0, 1.0, 2.5)
    with pytest.raises(ValueError, match="a grid of 2 rows and 1 columns"):
        figure_plans(plans, rows=["a", "b"], columns=["c"], **times)


def test_curves_are_what_they_were_made_of():
    axes = figure_convergence({0.1: [1e-2, 0.0]}, [1, 5]).axes[0]
    assert axes.lines[0].get_ydata()[0] == 1e-2
    assert axes.lines[0].get_ydata()[1] > 0  # a log axis has no zero
    row = {"map_gain": 1.1, "map_gain_shuffled": 1.0, "map_gain_timed": 1.2, "map_uniform": 0.5}
    lines = figure_gains({0.1: row, 0.5: row}).axes[0].lines
    assert [line.get_ydata()[0] for line in lines] == [1.1, 1.0, 1.2, 1.0, 2.0]  # the last: 1 / 0.5
    curve = Curve(np.array([1, 2]), np.array([0.5, 0.25]), np.array([0.0, 1.0]))
    figure = figure_distances({"one": {"val/mmd": curve}, "two": {"train/loss": curve}})
    assert [axes.get_title("left") for axes in figure.axes] == ["MMD²"]
    with pytest.raises(ValueError, match="None of the runs two measured val/mmd"):
        figure_distances({"two": {"train/loss": curve}})


def test_tokens_before_and_after():
    before, after = torch.randn(6, 5), torch.randn(4, 7)
    left, right = figure_similarities(before, after, audio_tokens=4).axes[:2]
    assert [label.get_text() for label in left.get_xticklabels()] == ["sound (4)", "pictures (2)"]
    assert [label.get_text() for label in right.get_xticklabels()] == ["sound (4)"]
    assert np.diag(left.images[0].get_array()).tolist() == pytest.approx([1] * 6, abs=1e-5)
    times = {"audio_times": np.arange(4.0), "visual_times": np.array([1.0, 2.0])}
    assert len(figure_planes(before, after, **times).axes[1].collections) == 1  # the sound alone
    with pytest.raises(ValueError, match="5 tokens are neither"):
        figure_planes(before, torch.randn(5, 7), **times)


def test_mass_of_all_bands_lies_on_the_patches():
    plan = torch.zeros(4, 2 * 6)
    plan[2, 0] = plan[1, 6] = 1.0  # the first moment, in two bands
    plan[:, 1:6] = 0.2
    picture = torch.zeros(3, 8, 8, dtype=torch.uint8)
    parts = {
        "picture": picture,
        "fbank": torch.randn(30, 8),
        "seconds": 6.0,
        "audio_time": (torch.arange(6) + 0.5).repeat(2),
    }
    figure = figure_patches(**parts, plan=plan, parts=6, events=[EVENT])
    assert figure.axes[1].images[1].get_array().tolist() == [[0, 2], [2, 0]]
    assert figure.axes[2].images[1].get_array().tolist() == pytest.approx(np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"a plan \[5, 12\] has no square of patches"):
        figure_patches(**parts, plan=torch.ones(5, 12))


def group() -> Group:
    """Two systems on four clips; the second scores 0.5 higher, and 1 higher on clips of the kind "hard"."""

    def cell(name: str, scores: list[float], caption: str) -> CellRuns:
        rows = {
            f"c{i}": {"caption": caption, "references": ["A dog barks", "a cat"], "scores": {"cider_d": score}}
            for i, score in enumerate(scores)
        }
        results = {"name": name, "scores": {"cider_d": float(np.mean(scores))}, "clips": 4, "id_hash": "x"}
        return CellRuns("", name, (Run(Path(name), "", name, "0", results, {}, rows),))

    return Group("x", 4, (cell("one", [0.1, 0.2, 0.3, 0.4], "a dog"), cell("two", [1.1, 1.2, 0.3, 0.4], "a dog barks")))


def test_differences_by_kind_of_scene():
    systems = group()
    found = scene_differences(
        systems, systems.cells[1], systems.cells[0], {"c0": "so_hard", "c1": "so_hard", "c2": "plain"}
    )
    assert list(found) == ["all", "other", "plain", "so-hard"]  # c3 is of no known kind
    assert [found[kind].mean for kind in found] == pytest.approx([0.5, 0.0, 0.0, 1.0])
    assert found["so-hard"].clear
    axes = figure_differences({"two": found}, baseline="one", metric="cider_d").axes[0]
    assert axes.lines[0].get_xdata() == pytest.approx([50, 0, 0, 100])
    assert axes.get_xlabel().startswith("CIDEr-D × 100 above one")


def test_words_and_captions():
    systems = group()
    text = markdown(captions_of(systems, "c0"), heading=False)
    assert text.startswith("| caption ")
    assert "| a dog barks |      two |           110 |" in text
    assert "| A dog barks | a person |" in text
    lengths, growth = figure_words(systems).axes
    assert [line.get_ydata()[-1] for line in growth.lines] == [2, 3, 3]
    assert lengths.lines[0].get_ydata().tolist() == [0, 0, 100, 0]
