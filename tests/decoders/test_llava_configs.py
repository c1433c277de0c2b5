"""LLaVA's published size and the demo's, built on the meta device."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from avcap.check import Report
from avcap.checkpoints.llava import llava_config
from avcap.commands.check import build_report
from avcap.decoders import LlavaDecoder
from avcap.encoders import LlavaVision
from avcap.fusion import LlavaProjection
from tests.llava_parts import save_tokenizer

LLM = Path(__file__).resolve().parents[2] / "configs" / "llm"
LLAVA_1_5, DEMO = LLM / "llava_1_5_7b.json", LLM / "llava_demo.json"
PUBLISHED = 7_063_427_072  # parameters of llava-hf/llava-1.5-7b-hf
LAST_LAYER = 12_596_224 + 2 * 1024  # of the vision tower, and the norm behind it: there, but never read


def size(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return str(folder)


SHORT = {"class_path": "KaldiFbank", "init_args": {"target_length": 512}}


def report(config: Path, folder: Path, **decoder: object) -> Report:
    """What `avcap check` says of a captioner of audio (as wide as the tower) and pictures, with a prefix of 16."""
    whole, source = llava_config(None, config, owner="decoder"), {"config": str(config)}
    width = whole.vision_config.hidden_size
    parts = {
        "audio_encoder": ("CEDEncoder", {"size": {"width": width, "depth": 1, "heads": 4}, "frontend": SHORT}),
        "visual_encoder": ("LlavaVision", source),
        "fusion": ("LlavaProjection", {**source, "audio_projector": "copy"}),
        "decoder": ("LlavaDecoder", {**source, "prefix": {"tokens": 16, "train": True}, **decoder}),
    }
    arguments = {name: {"class_path": kind, "init_args": given} for name, (kind, given) in parts.items()}
    data = {"class_path": "AudioCapsDataModule", "init_args": {"shards": str(folder), "frames": {"count": 1}}}
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"model": {"class_path": "Captioner", "init_args": arguments}, "data": data}))
    return build_report(["--config", str(file), "--clips", "2"])


def test_the_published_architecture_has_all_its_parameters():
    with torch.device("meta"):
        vision = LlavaVision(config=LLAVA_1_5)
        fusion = LlavaProjection(None, vision.width, config=LLAVA_1_5)
        decoder = LlavaDecoder(fusion.width, config=LLAVA_1_5)
    assert size(vision) + size(fusion) + size(decoder) + LAST_LAYER == PUBLISHED
    assert (size(fusion), vision.width, fusion.width) == (20_979_712, 1024, 4096)


def test_the_published_size_passes_the_check(tmp_path: Path):
    """16 x 4096 prefix numbers and an audio projector are trained, 7 billion are not; in bf16 the rest takes 13 GiB."""
    found = report(LLAVA_1_5, tmp_path, dtype="bfloat16")
    parts = {part.part: part for part in found.parts}
    assert parts["visual_encoder"].tokens == "576 x 1024"
    assert parts["fusion"].tokens == "608 x 4096"  # 576 of the picture, 32 of the sound
    assert (parts["fusion"].trainable, parts["decoder"].trainable) == (20_979_712, 16 * 4096)
    assert parts["decoder"].frozen == 6_738_939_904
    assert 12.5 < found.memory.weights / 2**30 < 15


def test_the_demo_size(tmp_path: Path, tokenizer: str):
    found = report(DEMO, tmp_path, tokenizer=tokenizer)
    parts = {part.part: part for part in found.parts}
    assert parts["visual_encoder"].tokens == "16 x 192"
    assert parts["fusion"].tokens == "48 x 192"
    assert sum(part.trainable + part.frozen for part in found.parts) < 5e6
    text = llava_config(None, DEMO, owner="decoder").text_config
    assert text.tie_word_embeddings
