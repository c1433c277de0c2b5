from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from avcap.study.report.collect import Run
from avcap.study.report.curves import Curve, clips_per_second, read_curves, shown
from avcap.study.report.page.charts import Line, legend, line_chart, ticks


def write_metrics(run: Path, version: int, text: str) -> None:
    folder = run / "csv" / f"version_{version}"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text(text)


def test_a_resumed_training_is_one_curve(tmp_path):
    write_metrics(tmp_path, 2, "step,time,train/loss,val/loss\n0,1000,3.0,\n10,1002,9.0,\n10,1003,,4.5\n")
    write_metrics(tmp_path, 10, "lr,step,time,train/loss\n0.1,10,2000,2.0\n,20,2002,nan\n,3")  # cut short by a kill
    curves = read_curves(tmp_path)
    assert sorted(curves) == ["lr", "train/loss", "val/loss"]
    np.testing.assert_array_equal(curves["train/loss"].steps, [0, 10, 20])
    np.testing.assert_array_equal(curves["train/loss"].values, [3.0, 2.0, np.nan])  # step 10: what was written last
    np.testing.assert_array_equal(curves["train/loss"].times, [1000, 2000, 2002])
    np.testing.assert_array_equal(curves["val/loss"].values, [4.5])
    assert read_curves(tmp_path / "nothing") == {}


def test_a_run_without_metrics_says_so(tmp_path, caplog):
    (tmp_path / "tensorboard").mkdir()
    assert read_curves(tmp_path) == {}
    assert "no csv/version_0/metrics.csv, so its curves are left out; train it again" in caplog.text


def curve(values: list[float], *, seconds: float = 1.0) -> Curve:
    steps = 10 * np.arange(len(values))
    return Curve(steps, np.array(values), 5.0 + seconds * np.arange(len(values)))


def test_what_is_shown():
    one = {
        "train/loss": curve([2, 1]),
        "train/loss_caption": curve([2, 1]),
        "lr": curve([1, 0]),
        "val/cider_d": curve([1]),
    }
    assert shown([one]) == ["val/cider_d", "train/loss"]  # the caption's is the only loss
    two = {**one, "train/loss": curve([3, 1]), "train/loss_ot": curve([1, 0])}
    assert shown([one, two]) == ["val/cider_d", "train/loss", "train/loss_caption", "train/loss_ot"]
    assert shown([{}]) == []


def test_clips_per_second():
    config = {"data": {"init_args": {"batch_size": 32}}, "trainer": {"devices": 2, "num_nodes": 1}}
    run = Run(Path("x"), "", "x", "0", {}, config)
    curves = {"train/loss": curve([1, 1, 1, 1], seconds=4.0)}
    assert clips_per_second(run, curves) == pytest.approx(10 / 4.0 * 32 * 2)
    assert clips_per_second(run, {}) is None
    assert clips_per_second(run, {"train/loss": curve([1, 1])}) is None  # too short to tell
    automatic = Run(Path("x"), "", "x", "0", {}, {**config, "trainer": {"devices": "auto"}})
    assert clips_per_second(automatic, curves) is None


def test_a_measured_speed_comes_first(tmp_path):
    run = Run(tmp_path, "", "x", "0", {})
    (tmp_path / "speed.json").write_text('{"clips": 100, "seconds": 2.0, "clips_per_second": 50.0}')
    assert clips_per_second(run, {}) == 50.0
    (tmp_path / "speed.json").write_text("{}")
    with pytest.raises(ValueError, match=r"speed\.json is damaged"):
        clips_per_second(run, {})


def test_ticks_are_round():
    assert ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(-3, 799) == [0, 200, 400, 600]


def test_a_chart_places_its_points():
    svg = line_chart("val/cider_d", [Line("a<b", 0, np.array([0, 50, 100]), np.array([0.0, 1.0, 0.5]))])
    (route,) = re.findall(r' d="M([^"]+)"', svg)
    points = np.array([[float(n) for n in point.split()] for point in route.split("L")])
    assert points[1][0] == pytest.approx(points[[0, 2], 0].mean(), abs=0.1)  # halfway
    assert points[0][1] > points[2][1] > points[1][1]  # y grows downwards
    assert points[2][1] == pytest.approx((points[0][1] + points[1][1]) / 2, abs=0.1)  # linear
    assert "a&lt;b" in svg
    assert "a<b" not in svg


def test_a_chart_of_losses_is_logarithmic_only_where_that_helps():
    wide = [Line("a", 9, np.arange(3), np.array([10.0, 1.0, 0.1]))]
    assert "(log)" in line_chart("loss", wide, log=True)
    assert "stroke-dasharray" in line_chart("loss", wide)  # the tenth line has the second line's colour
    assert "(log)" not in line_chart("loss", wide)
    assert "(log)" not in line_chart("loss", [wide[0]._replace(values=np.array([3.0, 2.0, 1.0]))], log=True)
    holes = line_chart("loss", [wide[0]._replace(values=np.array([np.nan, 2.0, np.inf]))])
    assert "nan" not in holes
    assert "inf" not in holes
    assert line_chart("loss", [wide[0]._replace(values=np.full(3, np.nan))]) == ""
    assert legend(["a & b"]).count("a &amp; b") == 1
