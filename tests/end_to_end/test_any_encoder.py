"""One recording, any front end: a folder that was prepared once serves LAVCap, AVCap and DALI at paper settings of the sound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml

from avcap.cli import main
from avcap.commands.check import build_report
from avcap.shards.reader import Shards
from tests.end_to_end.program import HERE, REPOSITORY
from tests.llava_parts import IMAGE, VISION_WIDTH, save_llava

SIZE = {"width": VISION_WIDTH, "depth": 1, "heads": 2}
CONFIGS = REPOSITORY / "configs"
QUICK = {
    "max_epochs": 1,
    "max_steps": 1,
    "num_sanity_val_steps": 0,
    "precision": "32-true",
    "accelerator": "cpu",
    "devices": 1,
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "callbacks": [],
}


@pytest.fixture(scope="module")
def shards(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny set with pictures and visual features, prepared once, without any derived column."""
    folder = tmp_path_factory.mktemp("prepared")
    generator = np.random.default_rng(0)
    (folder / "features").mkdir()
    for split in ("train", "val"):
        (folder / f"{split}.csv").write_text((demo_root / f"{split}.csv").read_text())
        for clip in Shards(demo_root / "shards" / split).ids:
            np.save(folder / "features" / f"{clip}.npy", generator.normal(size=(3, 8)).astype(np.float32))
    media = (f"--media={demo_root / 'videos'}", f"--features={folder / 'features'}")
    main(["data", "prepare", str(folder), *media, "--frames=2", f"--size={IMAGE}", "--num_workers=1"])
    return folder / "shards"


def part(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": name, "init_args": arguments}


def overlays(demo_root: Path, llava: Path) -> dict[str, dict[str, Any]]:
    """Config at paper size -> what makes it small, with random weights; nothing that concerns the front end."""
    tokenizer = str(demo_root / "tokenizer")
    image = {"image_size": 32, "patch": 16}
    language = {"model": None, "config": str(HERE / "tiny_llm.json"), "tokenizer": tokenizer, "dtype": "auto"}
    words = {"size": {"width": 24, "depth": 1, "heads": 2, "vocab_size": None, "positions": 64}, "tokenizer": tokenizer}
    return {
        "lavcap.yaml": {
            "audio_encoder": part("CEDEncoder", size={**SIZE}, pretrained=None),
            "visual_encoder": part("PrecomputedVisual", width=8),
            "decoder": part("CausalLMDecoder", **language),
        },
        "avcap.yaml": {
            "audio_encoder": part("CAVMAEAudio", size=SIZE, pretrained=None),
            "visual_encoder": part("CAVMAEVisual", size=SIZE, pretrained=None, **image),
            "fusion": part("TokenConcat", heads=2, pretrained=None),
            "decoder": part("GITDecoder", **words, generation={"max_new_tokens": 9}, pretrained=None),
        },
        "dali/paper/1b_alignment.yaml": {
            "audio_encoder": part("DALIAudio", size=SIZE, output_width=VISION_WIDTH, pretrained=None),
            "visual_encoder": part("LlavaVision", model=str(llava), config=None, dtype="auto"),
            "objective": part("AttentiveOTAlignment", width=VISION_WIDTH),
        },
    }


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llava(tmp_path_factory.mktemp("llava"))


@pytest.mark.parametrize("name", ["lavcap.yaml", "avcap.yaml", "dali/paper/1b_alignment.yaml"])
def test_one_preparation_serves_every_system(
    name: str, shards: Path, demo_root: Path, llava: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)  # configs name files from there
    system = "Alignment" if "dali" in name else "Captioner"
    overlay = {
        "trainer": {**QUICK, "default_root_dir": str(tmp_path)},
        "model": part(system, **overlays(demo_root, llava)[name]),
        "data": part("AudioCapsDataModule", shards=str(shards), batch_size=2, num_workers=0),
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(overlay))
    words = ["--config", str(CONFIGS / name), "--config", str(tmp_path / "small.yaml")]
    sizes = {found.part: found.tokens for found in build_report(words).parts}
    tokens = {"lavcap.yaml": 64, "avcap.yaml": 512, "dali/paper/1b_alignment.yaml": 512}
    assert sizes["audio_encoder"] == f"{tokens[name]} x {VISION_WIDTH}"  # those of 1024 rows
    main(["fit", *words])
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 1
    assert not (shards / "train" / "derived").exists()


def test_a_checkpoint_keeps_facts_of_pictures_alone_and_an_old_one_is_refused(tiny_run: Path, tmp_path: Path, capsys):
    content = torch.load(tiny_run / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["avcap_inputs"] == {"frames": 4, "stored_frames": 4, "frame_sampling": "even", "size": 64}
    encoder = json.dumps(content["hyper_parameters"]["audio_encoder"], default=str)
    assert "KaldiFbank" in encoder
    content["avcap_inputs"] |= {"front_end": "kaldi", "mels": 64, "target_length": 512, "mean": -4.346, "std": 4.332}
    torch.save(content, tmp_path / "old.ckpt")
    soundfile.write(tmp_path / "clip.wav", [0.0] * 1600, 16_000)
    with pytest.raises(SystemExit, match="1"):
        main(["caption", str(tmp_path / "clip.wav"), "--ckpt_path", str(tmp_path / "old.ckpt")])
    assert (
        "is of an earlier version, in which no encoder owned its front end; train it again" in capsys.readouterr().err
    )
