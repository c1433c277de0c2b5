"""A config with released weights is a captioner, in every verb that takes a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
import yaml
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

import avcap
from avcap.checkpoints.state import leave_out
from avcap.cli import main
from avcap.decoders.prefix import PrefixTuning
from avcap.encoders import CLIPVisual, DALIAudio
from avcap.layers.vit import ViTSize
from avcap.models import CaptionModel
from avcap.scenes.tokenizer import train_tokenizer
from avcap.shards.reading import clip_of, read_item
from avcap.weights import ImportOptions, export_checkpoint, import_checkpoint
from tests.encoders.cav_mae_golden import official_state, raw_frames
from tests.end_to_end.program import options
from tests.golden import golden
from tests.llava_parts import IMAGE, VISION_WIDTH, captioner, save_llava
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


def test_a_released_avcap_gives_the_official_tokens_and_reads_no_other_file(avcap_official):
    manifest, arrays = golden.load("avcap_captioner")
    opened = avcap.load(config=avcap_official["config"], weights=avcap_official[".pth"])
    inputs = {name: torch.from_numpy(value) for name, value in golden.inputs(manifest).items()}
    with torch.no_grad():
        fused = opened.model.fuse({"audio": inputs["audio"], "frames": raw_frames(inputs["visual"])})
        golden.check(manifest, arrays, "projected", opened.model.decoder.projection(fused.tokens.x).numpy())
    assert (opened.size, opened.stored_frames, opened.frames.count) == (224, 20, 1)


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


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a language model, a CLIP model and CED's weights below ``models``, and LAVCap's published file."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("project")
    train_tokenizer(root / "models" / "llama", ["a dog barks while rain falls"] * 3, vocab_size=300)
    words = len(AutoTokenizer.from_pretrained(root / "models" / "llama"))
    sizes = {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=words, intermediate_size=64, **sizes)).save_pretrained(
        root / "models" / "llama"
    )
    CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP)).save_pretrained(root / "models" / "clip")
    torch.save({"model": lavcap_state()}, root / "checkpoint_26.pth")
    import_checkpoint(
        root / "checkpoint_26.pth",
        root / "models" / "ced.safetensors",
        format_name="ced_lavcap",
        options=ImportOptions(target_length=512),
    )
    return root


CLIP = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "projection_dim": 48,
    "image_size": 32,
    "patch_size": 16,
}
LORA = {"rank": 2, "alpha": 4.0, "dropout": 0.0}


def lavcap_parts(*, ced: str = GONE, features: bool = True) -> dict[str, Any]:
    clip = {"class_path": "CLIPVisual", "init_args": {"config": CLIP, "pretrained": "models/clip"}}
    frontend = {"class_path": "KaldiFbank", "init_args": {"target_length": 512}}
    size = {"width": 48, "depth": 2, "heads": 4}
    return {
        "audio_encoder": {
            "class_path": "CEDEncoder",
            "init_args": {"size": size, "frontend": frontend, "frozen": True, "lora": LORA, "pretrained": ced},
        },
        "visual_encoder": {
            "class_path": "PrecomputedVisual",
            "init_args": {"width": 48, "frames": 3, "features_from": clip if features else None},
        },
        "fusion": {"class_path": "OTAttention", "init_args": {"iterations": 5}},
        "decoder": {
            "class_path": "CausalLMDecoder",
            "init_args": {
                "model": "models/llama",
                "frozen": True,
                "lora": LORA,
                "generation": {"num_beams": 1, "max_new_tokens": 4},
            },
        },
    }


def save_run(run: Path, parts: dict[str, Any], model: nn.Module) -> Path:
    """The checkpoint of a run of a captioner, as `avcap fit` saves it."""
    content: dict[str, Any] = {"state_dict": dict(model.state_dict()), "hyper_parameters": parts}
    leave_out(model, ("audio_encoder", "visual_encoder", "fusion", "decoder"), content)
    content["avcap_inputs"] = {"frames": None, "stored_frames": 0, "frame_sampling": "even", "size": 32}
    path = run / "checkpoints" / "best.ckpt"
    path.parent.mkdir(parents=True)
    torch.save(content, path)
    return path


def test_a_released_lavcap_is_its_file_over_the_frozen_language_model(project, tmp_path, film):
    config = write_config(tmp_path / "lavcap.yaml", lavcap_parts())
    opened = avcap.load(config=config, weights=project / "checkpoint_26.pth", weights_root=project)
    official = torch.load(project / "checkpoint_26.pth", weights_only=True)["model"]
    torch.save({"state_dict": opened.model.state_dict(), "hyper_parameters": {}}, tmp_path / "run.ckpt")
    state = {n: x for n, x in opened.model.state_dict().items() if not n.startswith("decoder.lm.") or ".lora_" in n}
    torch.save({"state_dict": state}, tmp_path / "run.ckpt")
    export_checkpoint(tmp_path / "run.ckpt", tmp_path / "back.pth", format_name="lavcap_official")
    back = torch.load(tmp_path / "back.pth", weights_only=True)["model"]
    assert official.keys() - back.keys() == {name for name in official if ".output_layer." in name}
    assert all(torch.equal(back[name], official[name]) for name in back)
    language = AutoModelForCausalLM.from_pretrained(project / "models" / "llama")
    assert torch.equal(opened.model.decoder.lm.lm_head.weight, language.lm_head.weight)

    batch, found = opened.load(film)  # the picture of a file goes through the encoder that made the features
    assert found.streams == ("audio", "video")
    tower = CLIPVisual(config=CLIP, pretrained=str(project / "models" / "clip")).eval()
    tower.load_pretrained()
    frames = read_item(clip_of(film), frames=3, size=32).frames
    with torch.no_grad():
        expected = tower(frames.unsqueeze(0)).x.half().float()
    assert torch.equal(batch["visual_features"].cpu(), expected)
    assert opened.caption(film).map is not None


def test_a_film_is_refused_where_nobody_knows_what_made_the_features(project, tmp_path, film, monkeypatch):
    monkeypatch.chdir(project)
    config = write_config(tmp_path / "lavcap.yaml", lavcap_parts(features=False))
    opened = avcap.load(config=config, weights="checkpoint_26.pth")
    with pytest.raises(ValueError, match=r"clip\.mp4.*features that were made beforehand.*features_from"):
        opened.caption(film)
    soundfile.write(tmp_path / "tone.wav", tone(1), 16_000)
    assert opened.caption(tmp_path / "tone.wav").streams == ("audio",)


def test_what_a_run_left_out_is_found_from_its_folder_or_by_weights_root(project, tmp_path, monkeypatch):
    parts = lavcap_parts(ced="models/ced.safetensors")
    monkeypatch.chdir(project)
    model = avcap.load(config=write_config(tmp_path / "lavcap.yaml", parts), weights="checkpoint_26.pth").model
    path = save_run(project / "runs" / "lavcap", parts, model)
    monkeypatch.chdir(tmp_path)
    again = avcap.load(path).model
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    moved = tmp_path / "elsewhere" / "checkpoints" / "best.ckpt"
    moved.parent.mkdir(parents=True)
    path.rename(moved)
    with pytest.raises(FileNotFoundError, match=r"best\.ckpt: .*models/llama.*--weights_root"):
        avcap.load(moved)
    with pytest.raises(FileNotFoundError, match=r"--weights_root"):
        avcap.load(moved, weights_root=tmp_path)
    assert avcap.load(moved, weights_root=project).model.decoder.lm is not None
    assert avcap.load(moved, weights_root=project / "models").model.decoder.lm is not None  # all files in one folder


def test_a_checkpoint_with_every_weight_reads_no_other_file(avcap_official, tmp_path, film, monkeypatch, capsys):
    released = avcap.load(config=avcap_official["config"], weights=avcap_official[".pth"])
    parts = yaml.safe_load(avcap_official["config"].read_text())["model"]["init_args"]
    path = save_run(tmp_path / "run", parts, released.model)
    monkeypatch.chdir(tmp_path)
    again = avcap.load(path)
    assert all(torch.equal(x, again.model.state_dict()[name]) for name, x in released.model.state_dict().items())
    assert not any(x.is_meta for x in (*again.model.parameters(), *again.model.buffers()))


def test_tied_weights_stay_one_and_gradients_stay_where_they_were(tmp_path):
    config = {
        "model_type": "llama",
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "vocab_size": 300,
    }
    train_tokenizer(tmp_path / "words", ["a dog barks"], vocab_size=300)
    parts = {
        "audio_encoder": {
            "class_path": "CEDEncoder",
            "init_args": {"size": {"width": 16, "depth": 1, "heads": 2}, "frozen": True},
        },
        "visual_encoder": None,
        "fusion": {"class_path": "AudioOnly"},
        "decoder": {
            "class_path": "CausalLMDecoder",
            "init_args": {
                "config": {**config, "num_attention_heads": 2, "tie_word_embeddings": True},
                "tokenizer": str(tmp_path / "words"),
            },
        },
    }
    torch.manual_seed(1)

    planned = CaptionModel._of(parts)
    model = CaptionModel.from_settings(parts, planned.state_dict())
    assert model.decoder.lm.lm_head.weight is model.decoder.lm.get_input_embeddings().weight
    assert {n for n, p in model.named_parameters() if p.requires_grad} == {
        n for n, p in planned.named_parameters() if p.requires_grad
    }
    tokens = torch.randn(1, 1024, 64)
    with torch.no_grad():
        assert torch.equal(model.audio_encoder(tokens).x, planned.eval().audio_encoder(tokens).x)


# -- DALI: one captioner in three files -----------------------------------------------------------------------------


def test_dalis_files_go_together_into_one_captioner(tmp_path):
    llava = save_llava(tmp_path / "llava")
    size = {"width": 32, "depth": 1, "heads": 2}
    prefix = {"prefix": PrefixTuning(tokens=3, train=True)}
    audio = DALIAudio(ViTSize(**size), output_width=VISION_WIDTH)
    model = captioner(llava, projection={"audio_projector": "copy"}, decoder=prefix, audio=audio).model
    torch.manual_seed(5)
    for parameter in (
        *audio.parameters(),
        *model.fusion.audio_projector.parameters(),
        *model.decoder.prefix.parameters(),
    ):
        nn.init.normal_(parameter)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "run.ckpt")
    files = {"dali_audio": "audio_backbone.pth", "llava_projector": "prefixMLP.bin", "dali_prefix": "prefix.bin"}
    for kind, name in files.items():
        export_checkpoint(tmp_path / "run.ckpt", tmp_path / name, format_name=kind)
    parts = {
        "audio_encoder": {"class_path": "DALIAudio", "init_args": {"size": size, "output_width": VISION_WIDTH}},
        "visual_encoder": {"class_path": "LlavaVision", "init_args": {"model": "llava"}},
        "fusion": {
            "class_path": "LlavaProjection",
            "init_args": {"model": "llava", "audio_projector": "copy", "pretrained_audio": "absent.safetensors"},
        },
        "decoder": {
            "class_path": "LlavaDecoder",
            "init_args": {"model": "llava", "prefix": {"tokens": 3, "train": True, "file": "absent.safetensors"}},
        },
    }
    for part in ("visual_encoder", "fusion", "decoder"):
        parts[part]["init_args"]["model"] = str(llava)
    config = write_config(tmp_path / "dali.yaml", parts, frames={"count": 1})
    found = avcap.load(config=config, weights=[tmp_path / name for name in files.values()])
    state = found.model.state_dict()
    assert [name for name, x in model.state_dict().items() if not torch.equal(x, state[name])] == []
    assert found.size == IMAGE
    import_checkpoint(tmp_path / "prefix.bin", tmp_path / "prefix.safetensors")
    export_checkpoint(tmp_path / "prefix.safetensors", tmp_path / "back.bin", format_name="dali_prefix")
    back, official = (torch.load(tmp_path / name, weights_only=True) for name in ("back.bin", "prefix.bin"))
    assert torch.equal(back["model.audio_tower.prefix"], official["model.audio_tower.prefix"])
    with pytest.raises(ValueError, match=r"prefix\.bin.*is in another file"):
        avcap.load(config=config, weights=[tmp_path / "prefix.bin", tmp_path / "prefix.bin"])


# -- the verbs of Lightning -----------------------------------------------------------------------------------------


def test_test_takes_weights_in_place_of_a_checkpoint(tiny_run, demo_root, tmp_path):
    weights = tiny_run / "checkpoints" / "last.ckpt"
    main(
        [
            "test",
            *options(demo_root, tmp_path / "run", "--weights", str(weights), "--model.init_args.metrics", "[bleu_4]"),
        ]
    )
    said = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    then = (tiny_run / "predictions.jsonl").read_text().splitlines()
    assert {(row["id"], row["caption"]) for row in map(json.loads, said)} == {
        (row["id"], row["caption"]) for row in map(json.loads, then)
    }
    assert str(weights) in json.loads((tmp_path / "run" / "results.json").read_text())["settings"]["checkpoint"]
