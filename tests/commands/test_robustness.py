"""`avcap robustness` with the tiny system."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from avcap.cli import main
from avcap.commands.robustness_conditions import choose, describe, kind_of, why_not
from avcap.data.corruptions import BlurredPictures, NoisySound, SilentSound, SwappedPictures, suite
from avcap.encoders import PrecomputedVisual
from avcap.fusion import AudioOnly, TimeConcat
from avcap.models import CaptionModel
from tests.systems.parts import LinearAudio, MeanVisual, WordDecoder

ONLY = "[audio_suppress,video_swap,both_suppress]"


def robustness(run: Path, out: Path, *more: str) -> None:
    checkpoint = run / "checkpoints" / "last.ckpt"
    main(["robustness", f"--ckpt_path={checkpoint}", f"--out={out}", "--num_beams=1", "--num_workers=0", *more])


@pytest.fixture(scope="module")
def finished(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("robustness")
    robustness(tiny_run, out, f"--only={ONLY}")
    return out


def test_every_clip_is_captioned_under_every_condition(finished: Path, tiny_run: Path):
    record = json.loads((finished / "robustness.json").read_text())
    assert list(record["conditions"]) == ["clean", "both_suppress", "audio_suppress", "video_swap"]
    ids = {json.loads(line)["id"] for line in (tiny_run / "predictions.jsonl").read_text().splitlines()}
    for name, condition in record["conditions"].items():
        rows = [json.loads(line) for line in (finished / condition["predictions"]).read_text().splitlines()]
        assert {row["id"] for row in rows} == ids
        assert sum(row["scores"]["cider_d"] for row in rows) / len(rows) == pytest.approx(
            condition["scores"]["cider_d"]
        )
        assert ("drop" in condition) == (name != "clean")
    assert record["conditions"]["both_suppress"]["stream"] == "both"
    assert record["settings"]["generation"]["num_beams"] == 1
    assert (finished / "robustness.png").is_file()


def test_clean_captions_are_those_of_the_captioner(finished: Path, tiny_run: Path, demo_root: Path, tmp_path: Path):
    from tests.end_to_end.program import DECODER, options

    path = tmp_path / "greedy.jsonl"
    more = ("--ckpt_path", str(tiny_run / "checkpoints" / "last.ckpt"), "--predictions.path", str(path))
    greedy = ("--trainer.logger", "false", f"{DECODER}.generation.num_beams", "1")
    main(["predict", *options(demo_root, tmp_path, *more, *greedy)])
    expected = {row["id"]: row["caption"] for row in map(json.loads, path.read_text().splitlines())}
    rows = map(json.loads, (finished / "clean.jsonl").read_text().splitlines())
    assert {row["id"]: row["caption"] for row in rows} == expected


def test_what_is_done_is_not_done_again_and_the_rest_is_added(
    finished: Path, tiny_run: Path, capsys: pytest.CaptureFixture
):
    written = {path.name: path.stat().st_mtime_ns for path in finished.glob("*.jsonl")}
    robustness(tiny_run, finished, "--only=[audio_swap,video_swap]")
    out, err = capsys.readouterr()
    assert "audio_swap: cider_d" in err
    assert "video_swap: cider_d" not in err
    assert {path.name: path.stat().st_mtime_ns for path in finished.glob("*.jsonl") if path.name in written} == written
    assert all(f"| {name} " in out for name in ("clean", "audio_suppress", "audio_swap", "video_swap"))
    assert "| swap " in out  # both streams are there now
    robustness(tiny_run, finished, "--only=[audio_swap]", "--seed=1")
    assert "of another checkpoint or other settings; starting again" in capsys.readouterr().err
    assert list(json.loads((finished / "robustness.json").read_text())["conditions"]) == ["clean", "audio_swap"]


def test_corruptions_of_ones_own(tiny_run: Path, tmp_path: Path):
    own = '[{"class_path": "NoisySound", "init_args": {"snr": 3, "colour": "pink"}}]'
    robustness(tiny_run, tmp_path, f"--conditions={own}", "--limit=3")
    record = json.loads((tmp_path / "robustness.json").read_text())
    assert record["conditions"]["audio_noise_pink3dB"]["corruptions"] == [
        {"class": "NoisySound", "snr": 3.0, "colour": "pink"}
    ]
    assert record["settings"]["clips"] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only=[echo]"], "There is no condition echo; name conditions"),
        (["--metrics=[vocab]", "--limit=2"], "vocab cannot be computed here or has no score for each clip"),
        (["--config=nowhere.yaml"], "There is no config nowhere.yaml; say where the clips are with --shards"),
        (["--shards=nowhere"], "There are no shards in nowhere/test"),
    ],
)
def test_bad_input_is_told_in_a_sentence(
    options, message, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    with pytest.raises(SystemExit, match="1"):
        robustness(tiny_run, tmp_path, *options)
    assert message in capsys.readouterr().err


def test_conditions_of_a_stream_that_is_not_read_are_left_out():
    hears = CaptionModel(LinearAudio(), None, AudioOnly, WordDecoder)
    chosen, left_out = choose(None, None, hears)
    assert {kind_of(corruptions)[0] for corruptions in chosen.values()} == {"audio"}
    (names,) = (names for names, reason in left_out.items() if reason == "the model reads no video")
    assert {"both_suppress", "video_swap"} <= set(names.split(", "))
    precomputed = CaptionModel(LinearAudio(), PrecomputedVisual(6), TimeConcat, WordDecoder)
    assert why_not(SwappedPictures(), precomputed) is None
    assert (
        why_not(BlurredPictures(), precomputed)
        == "the model reads visual_features, and BlurredPictures works on frames"
    )
    both = CaptionModel(LinearAudio(), MeanVisual(), TimeConcat, WordDecoder)
    chosen, left_out = choose(None, None, both)
    assert (list(chosen), left_out) == (list(suite()), {})
    assert list(choose([NoisySound(3.0), SilentSound()], ["noise"], both)[0]) == ["audio_noise_3dB"]
    assert describe([NoisySound(3.0)]) == [{"class": "NoisySound", "snr": 3.0, "colour": "white"}]
    assert kind_of(()) == ("both", "clean")


def test_visual_features_are_spoilt_too(tmp_path: Path):
    from avcap.data.corruptions import CorruptionSource, NoisyPictures
    from avcap.shards.item import Item

    item = Item("a", visual_features=torch.randn(4, 6, generator=torch.Generator().manual_seed(0)))
    out = NoisyPictures(0.2)(item, CorruptionSource(torch.Generator().manual_seed(0), lambda _: item))
    assert out.frames is None
    assert 0.1 < (out.visual_features - item.visual_features).std() < 0.4
