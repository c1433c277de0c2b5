"""What shards provide, against what a model reads: told before the first step, in one sentence."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

from avcap.cli import main
from avcap.data import AudioCapsDataModule
from avcap.encoders import PrecomputedVisual
from avcap.frontends import Inputs, KaldiFbank
from avcap.systems import Captioner
from tests.end_to_end.program import options
from tests.systems.parts import Concat, LinearAudio, MeanVisual, WordDecoder

STAGES = ("fit", "validate", "test", "predict")


class ReadsWaveforms(LinearAudio):
    """An encoder of a key that no data has."""

    input = "waveform"


def _run(stage: str, model: Captioner, shards: Path, folder: Path) -> None:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(default_root_dir=folder, accelerator="cpu", fast_dev_run=True, **quiet)
    data = AudioCapsDataModule(shards, batch_size=2, num_workers=0)
    getattr(trainer, stage)(model, datamodule=data)


@pytest.mark.parametrize("stage", STAGES)
def test_shards_without_visual_features_are_refused_before_the_first_step(
    stage: str, demo_root: Path, tmp_path: Path
) -> None:
    model = Captioner(LinearAudio(), PrecomputedVisual(6), Concat, WordDecoder)
    with pytest.raises(ValueError, match=r"shards/\w+ hold no visual_features, .* run `avcap data features`"):
        _run(stage, model, demo_root / "shards", tmp_path)


@pytest.mark.parametrize("stage", STAGES)
def test_an_encoder_of_another_key_is_refused(stage: str, demo_root: Path, tmp_path: Path) -> None:
    model = Captioner(ReadsWaveforms(), MeanVisual(), Concat, WordDecoder)
    with pytest.raises(ValueError, match="reads 'waveform', which shards do not have; set its `input` to one of"):
        _run(stage, model, demo_root / "shards", tmp_path)


def test_the_program_tells_it_in_a_sentence(demo_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    precomputed = ("--model.init_args.visual_encoder", "PrecomputedVisual")
    for verb in ("fit", "check"):
        with pytest.raises(SystemExit, match="1"):
            main([verb, *options(demo_root, tmp_path / "run", *precomputed)])
        error = capsys.readouterr().err
        assert "hold no visual_features, which the model reads: run `avcap data features`" in error
    assert not list(tmp_path.rglob("*.ckpt"))


def test_sound_alone_can_be_tested_with_a_model_of_both_and_is_told(
    demo_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = AudioCapsDataModule(demo_root / "shards")
    both = Inputs(KaldiFbank(), ("audio", "frames"))
    data.require(both)
    info = data.info("test")
    info.streams = {"audio": 9, "frames": 0, "visual_features": 0}
    data.info = lambda _: info
    with caplog.at_level(logging.WARNING, logger="avcap"):
        data.require(both, "test")
    assert "have no video; the model does without" in caplog.text
    with pytest.raises(ValueError, match=r"hold no frames, .* store frames with"):
        data.require(both, "fit")
    with pytest.raises(ValueError, match="hold no frames"):
        data.require(Inputs(None, ("frames",)), "test")  # nothing is left to read
    with pytest.raises(ValueError, match="has no frontend"):
        data.require(Inputs(None, ("audio",)), "test")
