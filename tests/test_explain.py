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
        ([f"{MODEL}.fusion.init_args.epsilon", "abc"], ["fusion.init_args.epsilon must be float, not 'abc'."]),
        ([f"{MODEL}.audio_encoder.init_args.size.depth", "x"], ["size.init_args.depth must be int, not 'x'."]),
        (["--model.optimizer.lr", "abc"], ["optimizer.init_args.lr must be float, not 'abc'."]),
        (["--data.init_args.shards", "[3]"], ["data.init_args.shards must be a path, not '[3]'."]),
        (["--trainer.precision", "8"], ["trainer.precision must be one of", "'bf16-mixed'", "not '8'."]),
        (["--trainer.max_epochs"], ["--trainer.max_epochs needs a value"]),
        (["--trainer", "3"], ["trainer wants settings", "'3'"]),
        (["--model", "nowhere.Thing"], ["model names no class 'nowhere.Thing'", "--import FILE.py"]),
        (["extra"], ["'extra' is one argument too many"]),
        (["--lr", "1"], ["--lr; did you mean --model.optimizer.lr?"]),
        (["--batch_size", "4"], ["--batch_size; did you mean --data.batch_size?"]),
        (["--epochs", "4"], ["--epochs; did you mean --trainer.max_epochs"]),
        (["--max_epochs", "4"], ["--max_epochs; did you mean --trainer.max_epochs"]),
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
        ("model: [", ["is no YAML", "put it right"]),
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
        (["caption", "-abc.mp4"], ["./-abc.mp4", "--"]),
        (["caption", "-hello.mp4"], ["./-hello.mp4"]),
        (["caption", "x.mp4", "--beams", "2"], ["--beams; did you mean --num_beams?"]),
        (["maps", "--epsilons", "x"], ["epsilons must be a list such as [a,b], not 'x'"]),
        (["data", "derive", "x", "--frontend", "Foo"], ["frontend names no class 'Foo'", "KaldiFbank"]),
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
