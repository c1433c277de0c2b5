"""Constructor signatures are the config schema: encoders are named and set from YAML, and printed back."""

from __future__ import annotations

import inspect

import pytest
import yaml
from jsonargparse import ArgumentParser

from avcap.components import components
from avcap.data import AudioCapsDataModule
from avcap.encoders import AudioEncoder, CEDEncoder, CLIPVisual, Encoder, PrecomputedVisual, TimmVisual, VisualEncoder
from avcap.frontends import FrontEnd

CONFIG = """
audio:
  class_path: CEDEncoder
  init_args: {size: {width: 24, depth: 1, heads: 2}, lora: {rank: 2, targets: [q_proj, k_proj]}}
video:
  class_path: TimmVisual
  init_args: {model: resnet10t, image_size: 32, model_args: {channels: [8, 8, 16, 16], stem_width: 8}}
"""


def parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--audio", type=AudioEncoder)
    parser.add_argument("--video", type=VisualEncoder)
    return parser


def test_encoders_are_built_from_a_config():
    built = parser().instantiate(parser().parse_string(CONFIG))
    assert isinstance(built.audio, CEDEncoder)
    assert isinstance(built.video, TimmVisual)
    assert built.audio.width == 24
    assert built.video.width == 16
    trained = {name.split(".")[3] for name, p in built.audio.named_parameters() if p.requires_grad}
    assert trained == {"q_proj", "k_proj"}


@pytest.mark.parametrize("name", ["CLIPVisual", "PrecomputedVisual", "TimmVisual"])
def test_defaults_survive_a_round_trip(name):
    config = parser().parse_args(["--video", name])
    text = parser().dump(config)
    assert parser().dump(parser().parse_string(text)) == text
    assert yaml.safe_load(text)["video"]["class_path"].endswith(f".{name}")


@pytest.mark.parametrize("encoder", [CEDEncoder, CLIPVisual, PrecomputedVisual, TimmVisual])
def test_every_argument_has_its_help(encoder, capsys):
    base = "audio" if issubclass(encoder, AudioEncoder) else "video"
    with pytest.raises(SystemExit):
        parser().parse_args([f"--{base}.help", encoder.__name__])
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.strip().startswith(f"--{base}.")]
    assert len(lines) >= 3
    assert "UNKNOWN" not in printed


def test_a_misspelt_argument_is_refused():
    with pytest.raises(Exception, match="widht"):
        parser().parse_args(["--audio", "CEDEncoder", "--audio.init_args.widht", "8"])


@pytest.mark.parametrize("part", [*components(Encoder, FrontEnd), AudioCapsDataModule], ids=lambda part: part.__name__)
def test_no_constructor_has_more_than_ten_arguments(part):
    assert len(inspect.signature(part).parameters) <= 10
