"""Folders in Hugging Face's format that bring code of their own: none of it is run, nobody is asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from avcap.checkpoints.hugging_face import make_config
from avcap.checkpoints.source import find_source, load_tokenizer, pretrained_config
from avcap.decoders.language_model import random_language_model
from avcap.encoders import CLIPVisual
from avcap.frontends import HuggingFaceFeatures

LLAMA = {
    **{"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1},
    **{"num_attention_heads": 2, "vocab_size": 16},
}
CODE = {
    "AutoConfig": "hostile_code.C",
    "AutoModelForCausalLM": "hostile_code.C",
    "AutoTokenizer": ["hostile_code.C", None],
    "AutoFeatureExtractor": "hostile_code.C",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder whose code leaves a mark; whoever is asked to trust it says yes."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    place = tmp_path / "model"
    place.mkdir()
    (place / "hostile_code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass C: pass\n")
    (place / "config.json").write_text(json.dumps({"model_type": "hostile", "auto_map": CODE}))
    (place / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "C", "auto_map": CODE}))
    (place / "preprocessor_config.json").write_text(json.dumps({"feature_extractor_type": "C", "auto_map": CODE}))
    yield place
    assert not (tmp_path / "ran").exists()
    assert not any("hostile_code" in name for name in sys.modules)


def test_of_an_architecture_that_only_the_folder_knows(folder: Path):
    source = find_source(str(folder))
    with pytest.raises(FileNotFoundError, match=r"no language model was found .*model"):
        pretrained_config(source)
    with pytest.raises(FileNotFoundError, match=r"no tokenizer was found .*model"):
        load_tokenizer(source)
    with pytest.raises(ValueError, match="is no feature extractor"):
        HuggingFaceFeatures(str(folder), settings={"trust_remote_code": True})


def test_of_a_known_architecture_the_library_builds_its_own(folder: Path):
    (folder / "config.json").write_text(json.dumps({**LLAMA, "auto_map": CODE}))
    assert type(pretrained_config(find_source(str(folder)))).__name__ == "LlamaConfig"
    config = make_config({**LLAMA, "auto_map": CODE})
    assert type(random_language_model(config, dtype="auto", attention="eager")).__name__ == "LlamaForCausalLM"


@pytest.mark.parametrize("name", ["pipeline", "AutoModel", "Trainer"])
def test_a_name_of_the_library_that_is_no_extractor_is_not_called(name):
    with pytest.raises(ValueError, match="is no feature extractor"):
        HuggingFaceFeatures(name, settings={"model": "x", "trust_remote_code": True})


class Code:
    def __reduce__(self) -> tuple:
        return open, ("ran", "w")


def test_a_pickle_of_weights_is_not_unpickled(folder: Path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    small = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 8,
    }
    vision = {**small, "patch_size": 4, "projection_dim": 4, "model_type": "clip_vision_model"}
    (folder / "config.json").write_text(json.dumps(vision))
    torch.save({"a": Code()}, folder / "pytorch_model.bin")
    encoder = CLIPVisual(config=vision, pretrained=str(folder))
    with pytest.raises(Exception, match=r".") as refused:
        encoder.load_pretrained()
    assert isinstance(refused.value, ValueError | OSError), refused.value
