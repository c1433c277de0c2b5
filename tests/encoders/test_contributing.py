"""CONTRIBUTING.md, "Add an encoder in four steps": the code there works as it stands, from the shards to a training step."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from lightning.pytorch import Trainer

import avcap.encoders
from avcap.data import AudioCapsDataModule, FrameChoice
from avcap.encoders import AudioEncoder
from avcap.frontends import Waveform
from avcap.systems import Captioner
from avcap.systems.optimisation import Constant
from tests.systems.parts import Concat, MeanVisual, WordDecoder

GUIDE = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"
AST = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
AST |= {"max_length": 128, "num_mel_bins": 32}


@pytest.fixture
def blocks() -> dict[str, list[str]]:
    section = GUIDE.read_text(encoding="utf-8").split("## Add an encoder in four steps")[1].split("\n## ")[0]
    found: dict[str, list[str]] = {}
    for language, code in re.findall(r"```(\w+)\n(.*?)```", section, flags=re.DOTALL):
        found.setdefault(language, []).append(code)
    return found


def written(code: str, name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The code as a module of avcap's encoders."""
    module = ModuleType(f"avcap.encoders.{name}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(code, module.__dict__)
    return module


def step(encoder: AudioEncoder, shards: Path, folder: Path) -> AudioEncoder:
    """A training step and a test of a captioner with that encoder, on shards that know nothing of it."""

    class AnyWord(WordDecoder):
        def loss(self, tokens, captions, *, prompts=None):
            return super().loss(tokens, [self.words[0]] * len(captions))

    torch.manual_seed(0)
    model = Captioner(encoder, MeanVisual(encoder.width), Concat, AnyWord, schedule=Constant(), metrics=["bleu_4"])
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(default_root_dir=folder, accelerator="cpu", max_steps=1, num_sanity_val_steps=0, **quiet)
    data = AudioCapsDataModule(shards, batch_size=4, num_workers=0, frames=FrameChoice(2))
    before = [parameter.clone() for parameter in encoder.parameters()]
    trainer.fit(model, data)
    trainer.test(model, data, verbose=False)
    assert data.dataset("test")[0]["audio"].shape == encoder.frontend.shape
    assert any(not torch.equal(old, new) for old, new in zip(before, encoder.parameters(), strict=True))
    return encoder


@pytest.mark.filterwarnings("ignore")
def test_the_four_steps_work(
    blocks: dict[str, list[str]], demo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, _, export, check = blocks["python"]
    written(write, "wave_conv", monkeypatch)
    exec(export, namespace := {})
    monkeypatch.setattr(avcap.encoders, "WaveConv", namespace["WaveConv"], raising=False)

    parser = ArgumentParser()
    parser.add_argument("--audio_encoder", type=AudioEncoder)
    overlay = yaml.safe_load(blocks["yaml"][0])
    config = parser.parse_object({"audio_encoder": overlay["model"]["init_args"]["audio_encoder"]})
    encoder = parser.instantiate(config).audio_encoder
    assert isinstance(encoder, namespace["WaveConv"])
    assert encoder.frontend == Waveform(80_000)
    step(encoder, demo_root / "shards", tmp_path)

    exec(check, namespace)
    tests = [value for name, value in namespace.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()


@pytest.mark.filterwarnings("ignore")
def test_a_model_of_transformers_brings_its_feature_extractor(
    blocks: dict[str, list[str]], demo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = written(blocks["python"][1], "ast_audio", monkeypatch).ASTAudio
    encoder = step(kind(AST), demo_root / "shards", tmp_path)
    assert encoder.frontend.shape == (128, 32)
    encoder.model.save_pretrained(tmp_path / "ast")
    copy = kind(AST, pretrained=str(tmp_path / "ast"))
    copy.load_pretrained()
    features = torch.randn(1, 128, 32)
    torch.testing.assert_close(copy.eval()(features).x, encoder.eval()(features).x)
