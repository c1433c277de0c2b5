"""Drops, their intervals, the index and the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from avcap.study.report.robustness import biases, draw_robustness, drops, robustness_table

CLEAN = {f"c{i}": 1.0 + 0.01 * i for i in range(50)}
KINDS = {
    "audio_swap": ("audio", "swap"),
    "video_swap": ("video", "swap"),
    "audio_noise_0dB": ("audio", "noise"),
    "audio_noise_10dB": ("audio", "noise"),
    "video_noise_0.1": ("video", "noise"),
    "audio_blur_1s": ("audio", "blur"),
}
LOSSES = dict(zip(KINDS, (0.6, 0.2, 0.5, 0.1, -0.1, 0.0), strict=True))


def spoilt() -> dict[str, dict[str, float]]:
    return {name: {clip: score - LOSSES[name] for clip, score in CLEAN.items()} for name in KINDS}


def test_a_loss_that_all_clips_share_is_certain():
    found = {drop.name: drop for drop in drops(CLEAN, spoilt(), KINDS)}
    assert list(found) == list(KINDS)
    for name, drop in found.items():
        assert (drop.stream, drop.family) == KINDS[name]
        assert (drop.absolute, drop.low, drop.high) == pytest.approx([LOSSES[name]] * 3, abs=1e-9)
        assert drop.score == pytest.approx(1.245 - LOSSES[name])
        assert drop.relative == pytest.approx(LOSSES[name] / 1.245)


def test_a_loss_of_some_clips_has_an_interval_around_its_mean():
    half = {clip: score - (0.4 if i % 2 else 0.0) for i, (clip, score) in enumerate(CLEAN.items())}
    (drop,) = drops(CLEAN, {"audio_swap": half}, KINDS)
    assert drop.absolute == pytest.approx(0.2)
    # 1.96 standard errors of a fair coin of 0 and 0.4 over 50 clips: 0.055
    assert (drop.absolute - drop.low, drop.high - drop.absolute) == pytest.approx((0.055, 0.055), abs=0.012)


def test_levels_are_averaged_before_the_index():
    found = {bias.family: bias for bias in biases(drops(CLEAN, spoilt(), KINDS))}
    assert set(found) == {"swap", "noise"}  # blur has one stream only
    assert found["swap"].value == pytest.approx(0.5)
    assert (found["noise"].audio, found["noise"].video) == pytest.approx((0.3, -0.1))
    assert found["noise"].value == 1.0


def test_other_clips_are_refused():
    with pytest.raises(ValueError, match="audio_swap was scored on other clips"):
        drops(CLEAN, {"audio_swap": {"c0": 1.0}}, KINDS)


def test_table(tmp_path: Path):
    found = drops(CLEAN, spoilt(), KINDS)
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in robustness_table(1.245, found, metric="cider_d").splitlines()
    ]
    assert ["clean", "124.5", "", "", ""] in lines
    assert ["audio_swap", "64.5", "60.0", "60.0 to 60.0", "48%"] in lines
    assert ["swap", "60.0", "20.0", "+0.50"] in lines
    draw_robustness(tmp_path / "new" / "bars.png", 1.245, found, metric="cider_d")
    assert (tmp_path / "new" / "bars.png").read_bytes().startswith(b"\x89PNG")


def test_no_share_of_a_clean_score_of_zero():
    nothing = dict.fromkeys(CLEAN, 0.0)
    (drop,) = drops(nothing, {"audio_swap": nothing}, KINDS)
    assert drop.relative is None
    assert "| - |" in " ".join(robustness_table(0.0, [drop], metric="cider_d").split())
    assert drops(nothing, {}, KINDS) == []
