"""A config with released weights is a captioner, in every verb that takes a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

import avcap
from avcap.cli import main
from avcap.weights import ImportOptions, export_checkpoint, import_checkpoint
from tests.encoders.cav_mae_golden import official_state, raw_frames
from tests.golden import golden
from tests.media_files import grey_ramp, tone, write_media

GONE = "checkpoints/not_there.safetensors"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_media(tmp_path_factory.mktemp("film") / "clip.mp4", wave=tone(1), pictures=grey_ramp(8))


def write_config(path: Path, parts: dict[str, Any], **data: Any) -> Path:
    """A config as people write it: short names, only what is not the default."""
    model = {"class_path": "Captioner", "init_args": parts}
    document = {"model": model, "data": {"class_path": "AudioCapsDataModule", "init_args": {"shards": "none", **data}}}
    path.write_text(yaml.safe_dump(document))
    return path


def word_pieces(folder: Path, count: int) -> Path:
    folder.mkdir()
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    (folder / "vocab.txt").write_text("\n".join(special.get(i, f"word{i}") for i in range(count)))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizerFast"}))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    return folder


# -- AVCap: the whole captioner in one published file ---------------------------------------------------------------


@pytest.fixture(scope="module")
def avcap_official(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """AVCap's published file, the same imported, a run's checkpoint with it, and a config whose own files are not there."""
    folder = tmp_path_factory.mktemp("avcap")
    manifest, _ = golden.load("avcap_captioner")
    torch.save(official_state(manifest), folder / "official.pth")
    import_checkpoint(folder / "official.pth", folder / "imported.safetensors")
    size = {"width": 48, "heads": 4, "depth": 11}
    text = {"width": 48, "depth": 2, "heads": 4, "mlp_ratio": 2.0, "vocab_size": 200, "positions": 64}
    parts = {
        "audio_encoder": {"class_path": "CAVMAEAudio", "init_args": {"size": size, "pretrained": GONE}},
        "visual_encoder": {"class_path": "CAVMAEVisual", "init_args": {"size": size, "pretrained": GONE}},
        "fusion": {"class_path": "TokenConcat", "init_args": {"heads": 4, "pretrained": GONE}},
        "decoder": {
            "class_path": "GITDecoder",
            "init_args": {"size": text, "tokenizer": str(word_pieces(folder / "words", 200)), "pretrained": GONE},
        },
    }
    config = write_config(folder / "avcap.yaml", parts, frames={"count": 1, "sampling": "random"})
    return {"folder": folder, "config": config, **{f.suffix: f for f in folder.glob("*.*")}}


@pytest.mark.parametrize("kind", [".pth", ".safetensors"])
def test_a_released_avcap_gives_the_official_tokens_and_reads_no_other_file(avcap_official, kind):
    manifest, arrays = golden.load("avcap_captioner")
    captioner = avcap.load(config=avcap_official["config"], weights=avcap_official[kind])
    inputs = {name: torch.from_numpy(value) for name, value in golden.inputs(manifest).items()}
    with torch.no_grad():
        fused = captioner.model.fuse({"audio": inputs["audio"], "frames": raw_frames(inputs["visual"])})
        golden.check(manifest, arrays, "projected", captioner.model.decoder.projection(fused.tokens.x).numpy())
    assert (captioner.size, captioner.stored_frames, captioner.frames.count) == (224, 20, 1)


def test_caption_takes_a_config_and_released_weights(avcap_official, film, capsys):
    words = ["caption", str(film), "--config", str(avcap_official["config"]), "--json"]
    said = []
    for weights in (".pth", ".safetensors"):
        main([*words, "--weights", str(avcap_official[weights])])
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1]
    assert said[0]["streams"] == ["audio", "video"]
    assert said[0]["caption"]


def test_weights_of_another_size_or_model_are_told_in_one_sentence(avcap_official, tmp_path, capsys):
    config = yaml.safe_load(avcap_official["config"].read_text())
    config["model"]["init_args"]["visual_encoder"]["init_args"]["frames"] = 4
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match=r"official\.pth.*differ in shape \(first: visual_encoder"):
        avcap.load(config=other, weights=avcap_official[".pth"])
    manifest, _ = golden.load("ced_encoder_lavcap_512")
    torch.save(official_state(manifest), tmp_path / "ced.pth")
    with pytest.raises(ValueError, match=r"ced\.pth.*tensors of the model are not in it"):
        avcap.load(config=avcap_official["config"], weights=tmp_path / "ced.pth")
    with pytest.raises(SystemExit):
        main(["caption", "x.mp4", "--config", str(other)])
    assert "x.mp4" in capsys.readouterr().err  # the file is looked at before the model is
    for given in ({"config": other}, {"weights": "x.pth"}, {}, {"checkpoint": "x.ckpt", "config": other}):
        with pytest.raises(ValueError, match="a checkpoint alone, or a config together with its weights"):
            avcap.load(**given)


# -- LAVCap: adapters, projection and temperature over frozen models ------------------------------------------------


def lavcap_state(rank: int = 2, width: int = 48) -> dict[str, Tensor]:
    """A checkpoint with every name that LAVCap's trainer saves, at a small size."""
    manifest, _ = golden.load("ced_encoder_lavcap_512")
    state = {}
    for name, tensor in official_state(manifest).items():
        layer, _, leaf = name.rpartition(".")
        adapted = layer.endswith(("q_proj", "v_proj"))
        state[f"audio_encoder.base_model.model.{layer}.{'base_layer.' if adapted else ''}{leaf}".replace("..", ".")] = (
            tensor
        )
        if adapted and leaf == "weight":
            for half, shape in (("A", (rank, width)), ("B", (width, rank))):
                state[f"audio_encoder.base_model.model.{layer}.lora_{half}.default.weight"] = torch.randn(shape)
    state["audio_encoder.base_model.model.output_layer.0.weight"] = torch.randn(width)
    for proj in ("q_proj", "v_proj"):
        stem = f"llama_decoder.base_model.model.model.layers.0.self_attn.{proj}"
        state[f"{stem}.lora_A.default.weight"] = torch.randn(rank, width)
        state[f"{stem}.lora_B.default.weight"] = torch.randn(width, rank)
    return state | {
        "speech_llama_proj.weight": torch.randn(width, width),
        "speech_llama_proj.bias": torch.randn(width),
        "logit_scale": torch.tensor(2.5),
    }


def test_a_whole_lavcap_is_imported_and_comes_back_to_the_bit(tmp_path):
    official = lavcap_state()
    torch.save({"model": official, "optimizer": {}}, tmp_path / "checkpoint_26.pth")
    options = ImportOptions(target_length=512)
    report = import_checkpoint(tmp_path / "checkpoint_26.pth", tmp_path / "lavcap.safetensors", options=options)
    assert (report.format, report.ignored) == ("lavcap_official", ())
    assert len(report.loaded) == len(official)
    export_checkpoint(tmp_path / "lavcap.safetensors", tmp_path / "back.pth", format_name="lavcap_official")
    back = torch.load(tmp_path / "back.pth", weights_only=True)["model"]
    assert back.keys() == official.keys()
    assert all(torch.equal(back[name], official[name]) for name in official)
