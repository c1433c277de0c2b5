"""What the program says of a LLaVA that is not there, not whole, or not what the other parts are."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.end_to_end.program import options
from tests.end_to_end.test_bad_input import QUIET, refused
from tests.llava_parts import save_llava


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llava(tmp_path_factory.mktemp("llava"))


def words(demo_root: Path, run: Path, model: Path, **decoder: object) -> list[str]:
    """The command line of a fit with the three parts of the folder ``model``."""
    source = {"model": str(model)}
    kinds = {"visual_encoder": "LlavaVision", "fusion": "LlavaProjection", "decoder": "LlavaDecoder"}
    parts = {name: {"class_path": kind, "init_args": dict(source)} for name, kind in kinds.items()}
    parts["decoder"]["init_args"] |= decoder
    system = {"class_path": "Captioner", "init_args": {"audio_encoder": None, **parts}}
    data = {"class_path": "AudioCapsDataModule", "init_args": {"shards": str(demo_root / "shards"), "frames": 1}}
    trainer = {"default_root_dir": str(run), "max_epochs": 1, "accelerator": "cpu", "logger": False}
    (run / "config.yaml").write_text(yaml.safe_dump({"model": system, "data": data, "trainer": trainer}))
    return ["fit", "--config", str(run / "config.yaml")]


def test_a_model_that_is_not_there(demo_root: Path, tmp_path: Path, capsys):
    """The vision tower may be null as well; the sentence is its own all the same."""
    absent = tmp_path / "absent"
    error = refused(words(demo_root, tmp_path, absent), capsys)
    assert error.startswith(
        f"avcap: error: visual_encoder.model: no LLaVA model with safetensors weights was found at '{absent}'"
    )
    assert error.endswith("or a hub model such as llava-hf/llava-1.5-7b-hf.")


def test_a_model_without_its_weights(model: Path, demo_root: Path, tmp_path: Path, capsys):
    (tmp_path / "llava").mkdir()
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "llava" / file).write_bytes((model / file).read_bytes())
    error = refused(words(demo_root, tmp_path, tmp_path / "llava", prefix={"tokens": 2, "train": True}), capsys)
    assert "visual_encoder.model: no LLaVA model with safetensors weights was found" in error


def test_another_fusion_gives_another_width(model: Path, demo_root: Path, tmp_path: Path, capsys):
    line = words(demo_root, tmp_path, model)
    error = refused([*line, "--model.init_args.fusion", "VideoOnly"], capsys)
    assert "LlavaDecoder takes tokens of its language model's width, 32, but the fusion gives 24" in error


def test_a_fault_of_the_program_is_still_shown_whole(demo_root: Path, tmp_path: Path, monkeypatch):
    from avcap.cli import main
    from avcap.decoders import CausalLMDecoder

    def broken(*_: object, **__: object) -> None:
        raise NotImplementedError("not yet")

    monkeypatch.setattr(CausalLMDecoder, "loss", broken)
    with pytest.raises(NotImplementedError, match="not yet"):
        main(["fit", *options(demo_root, tmp_path, *QUIET)])
