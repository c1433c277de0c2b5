"""What the parser says of a wrong option or config."""

from __future__ import annotations

from pathlib import Path

import pytest

from avcap.cli import main
from tests.end_to_end.program import REPOSITORY

DEMO = str(REPOSITORY / "configs" / "demo" / "lavcap.yaml")
MODEL = "--model.init_args"


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence with which a command line ends; the line after it is a tip."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    sentence, tip = capsys.readouterr().err.strip().splitlines()
    assert "--help" in tip
    return sentence.removeprefix("avcap: error: ")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--trainer.max_epchs", "3"], ["--trainer.max_epchs", "--trainer.max_epochs"]),
        (["--trainer.max_epoch", "3"], ["--trainer.max_epoch;", "--trainer.max_epochs"]),
        (["--trainer.max_epochs", "x"], ["trainer.max_epochs", "int or null", "'x'"]),
        ([f"{MODEL}.fusion", "OTAtention"], ["model.init_args.fusion", "OTAtention", "OTAttention"]),
        ([f"{MODEL}.fusion.init_args.epsilonn", "3"], ["model.init_args.fusion", "'epsilonn'", "epsilon?"]),
        ([f"{MODEL}.audio_encoder.init_args.ptach", "3"], ["audio_encoder (CEDEncoder)", "'ptach'", "patch?"]),
        ([f"{MODEL}.decoder.init_args.generation.num_beams", "x"], ["generation.num_beams must be int, not 'x'"]),
        (["--data.init_args.batchsize", "3"], ["data (AudioCapsDataModule)", "'batchsize'", "batch_size"]),
        (["--data.init_args.batch_size", "x"], ["data.init_args.batch_size must be int, not 'x'"]),
        (["--config", "nowhere.yaml"], ["nowhere.yaml"]),
    ],
)
def test_a_wrong_option_is_told_in_a_sentence_with_the_nearest_names(options, parts, capsys):
    sentence = said(["fit", "--config", DEMO, *options], capsys)
    assert all(part in sentence for part in parts), sentence


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        ("modl: 3", ["'modl'", "model?"]),
        ("trainer: {max_epochz: 3}", ["'trainer.max_epochz'", "trainer.max_epochs"]),
        ("model: {class_path: Captionr}", ["model names no class 'Captionr'", "Captioner?"]),
        ("model: {class_path: Captioner, init_args: {audio_encodr: null}}", ["'audio_encodr'", "audio_encoder"]),
        ("model: {class_path: Captioner, init_args: {audio_encoder: {class_path: CEDEncodr}}}", ["CEDEncoder?"]),
        (
            "model: {class_path: Captioner, init_args: {fusion: {class_path: OTAttention, init_args: {epsilonn: 1}}}}",
            ["OTAttention", "'epsilonn'", "epsilon?"],
        ),
        ("data: {class_path: AudioCaps}", ["data names no class 'AudioCaps'", "AudioCapsDataModule?"]),
        ("model: {class_path: tests.end_to_end.log_ids.LogIds}", ["tests.end_to_end.log_ids.LogIds"]),
        ("model: [", ["parsing config"]),
    ],
)
def test_a_wrong_config_is_told_in_a_sentence_with_the_nearest_names(config, parts, tmp_path: Path, capsys):
    path = tmp_path / "wrong.yaml"
    path.write_text(config + "\n")
    sentence = said(["fit", "--config", DEMO, "--config", str(path)], capsys)
    assert all(part in sentence for part in parts), sentence


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["data", "demo", "--trian", "3"], ["--trian", "--train?"]),
        (["data", "demo", "--train", "x"], ["train must be int, not 'x'"]),
        (["list", "fusoin"], ["kind must be one of", "'fusion'", "not 'fusoin'"]),
        (["score"], ["predictions, references"]),
        (["check", "--config", DEMO, "--clps", "3"], ["--clps", "--clips"]),
    ],
)
def test_the_other_verbs_say_it_the_same_way(words, parts, capsys):
    sentence = said(words, capsys)
    assert all(part in sentence for part in parts), sentence


def test_a_config_that_lacks_a_part_is_told_which(tmp_path: Path, capsys):
    path = tmp_path / "wrong.yaml"
    path.write_text("model: {class_path: Captioner, init_args: {audio_encoder: null, visual_encoder: null}}")
    sentence = said(["fit", "--config", str(path)], capsys)
    assert "model (Captioner) needs fusion" in sentence
    assert len(sentence) < 150
