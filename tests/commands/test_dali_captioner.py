"""A trained captioner becomes a LLaVA folder that gives its captions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor
from transformers import AutoProcessor, LlavaForConditionalGeneration

from avcap.cli import main
from avcap.commands import dali_captioner
from avcap.commands.dali_captioner import chat_template
from avcap.decoders.llava import TEMPLATE
from avcap.lightning_cli import build_cli
from avcap.systems import Captioner
from tests.llava_parts import PROMPT, captioner, frames, save_tokenizer, settings

VISION = {"class_path": "LlavaVision", "init_args": {"config": settings(), "frozen": False}}
PROJECTION = {"class_path": "LlavaProjection", "init_args": {"config": settings(), "frozen": False}}


def checkpoint(
    folder: Path, *, decoder: dict, visual: dict = VISION, fusion: dict = PROJECTION
) -> tuple[Path, Captioner]:
    """What `avcap fit` would save of such a system at its first step."""
    parts = {"audio_encoder": None, "visual_encoder": visual, "fusion": fusion, "decoder": decoder}
    data = {"class_path": "AudioCapsDataModule", "init_args": {"shards": str(folder / "shards")}}
    trainer = {"default_root_dir": str(folder), "accelerator": "cpu", "logger": False, "enable_model_summary": False}
    model = {"class_path": "Captioner", "init_args": parts}
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump({"model": model, "data": data, "trainer": trainer, "seed_everything": 0}))
    cli = build_cli(["--config", str(config)], run=False)
    cli.model.configure_model()
    with torch.no_grad():
        cli.model.decoder.lm.get_input_embeddings().weight[cli.model.decoder.codec.special.eos[0]] *= 2  # texts end
    cli.trainer.strategy.connect(cli.model)
    cli.trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt", cli.model.eval()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Captioner]:
    """A captioner of random weights, with a prefix and an audio projector that are no part of the folder."""
    folder = tmp_path_factory.mktemp("run")
    save_tokenizer(folder / "tokenizer")
    decoder = {"config": settings(), "tokenizer": str(folder / "tokenizer"), "frozen": False}
    extra = {"prefix": {"tokens": 2, "train": True}, "generation": {"max_new_tokens": 24}}
    fusion = {"class_path": "LlavaProjection", "init_args": {**PROJECTION["init_args"], "audio_projector": "copy"}}
    path, model = checkpoint(
        folder, fusion=fusion, decoder={"class_path": "LlavaDecoder", "init_args": {**decoder, **extra}}
    )
    model.decoder.prefix = None
    return path, model


@pytest.fixture(scope="module")
def written(trained: tuple[Path, Captioner]) -> Path:
    out = trained[0].parent / "captioner"
    main(["dali", "captioner", str(trained[0]), str(out)])
    return out


def ids(model: Captioner, beams: int) -> Tensor:
    with torch.no_grad():
        return model.decoder._search(model.fuse({"frames": frames()}).tokens, {"num_beams": beams}).sequences


@pytest.mark.parametrize("beams", [1, 4])
def test_the_folder_gives_the_same_captions(trained: tuple[Path, Captioner], written: Path, beams: int):
    """By transformers' own model, processor and chat template, and by the three classes."""
    expected = ids(trained[1], beams)
    assert len({tuple(row) for row in expected.tolist()}) > 3
    assert torch.equal(ids(captioner(written), beams), expected)
    processor = AutoProcessor.from_pretrained(written)
    turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT}]}]
    texts = [processor.apply_chat_template(turn, add_generation_prompt=True)] * len(frames())
    inputs = processor(images=[f[0].permute(1, 2, 0).numpy() for f in frames()], text=texts, return_tensors="pt")
    whole = LlavaForConditionalGeneration.from_pretrained(written)
    found = whole.generate(**inputs, max_new_tokens=24, num_beams=beams, do_sample=False)
    assert torch.equal(found[:, inputs["input_ids"].shape[1] :], expected)


def test_the_folder_says_what_it_holds(written: Path):
    whole = LlavaForConditionalGeneration.from_pretrained(written)
    assert whole.config.vision_config.num_hidden_layers == 2  # of 3, the last of which nothing reads
    assert (whole.config.vision_feature_layer, whole.config.image_seq_length) == (-1, 4)
    assert (whole.generation_config.eos_token_id, whole.generation_config.pad_token_id) == (1, 2)
    assert {path.name for path in written.iterdir()} == {
        *("config.json", "generation_config.json", "model.safetensors", "preprocessor_config.json"),
        *("processor_config.json", "chat_template.jinja", "special_tokens_map.json", "tokenizer.json"),
        "tokenizer_config.json",
    }


def test_a_folder_can_be_written_again_from_its_own_captioner(written: Path, tmp_path: Path):
    """Stages after the first hold frozen parts that their checkpoint leaves out; writing them gives the same weights."""
    source = {"model": str(written)}
    parts = {
        name: {"class_path": name, "init_args": source} for name in ("LlavaVision", "LlavaProjection", "LlavaDecoder")
    }
    tuned = {"class_path": "LlavaDecoder", "init_args": {**source, "prefix": {"tokens": 2, "train": True}}}
    path, _ = checkpoint(tmp_path, visual=parts["LlavaVision"], fusion=parts["LlavaProjection"], decoder=tuned)
    assert list(torch.load(path, weights_only=True)["state_dict"]) == ["decoder.prefix.prefix"]
    main(["dali", "captioner", str(path), str(tmp_path / "again")])
    one, other = (LlavaForConditionalGeneration.from_pretrained(folder) for folder in (written, tmp_path / "again"))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_a_folder_that_exists_is_left_alone(trained: tuple[Path, Captioner], tmp_path: Path, capsys):
    (tmp_path / "note").touch()
    with pytest.raises(SystemExit, match="1"):
        main(["dali", "captioner", str(trained[0]), str(tmp_path)])
    assert "is already there; remove it or name another folder." in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_what_cannot_be_finished_leaves_nothing(trained: tuple[Path, Captioner], tmp_path: Path, monkeypatch):
    def full(model: Captioner) -> None:
        raise OSError("no space left on the device")

    monkeypatch.setattr(dali_captioner, "_processor", full)  # after the weights are written
    with pytest.raises(OSError, match="no space left"):
        dali_captioner.write_captioner(trained[0], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_other_systems_are_refused(tmp_path: Path, capsys):
    save_tokenizer(tmp_path / "tokenizer")
    causal = {"config": settings()["text_config"], "tokenizer": str(tmp_path / "tokenizer")}
    path, _ = checkpoint(tmp_path, decoder={"class_path": "CausalLMDecoder", "init_args": causal})
    with pytest.raises(SystemExit, match="1"):
        main(["dali", "captioner", str(path), str(tmp_path / "out")])
    assert "last.ckpt is CausalLMDecoder, not LlavaDecoder; it makes no LLaVA." in capsys.readouterr().err
    with pytest.raises(SystemExit, match="1"):
        main(["dali", "captioner", str(tmp_path / "absent.ckpt"), str(tmp_path / "out")])
    assert "There is no checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_chat_template_writes_a_conversation():
    from transformers.utils.chat_template_utils import render_jinja_template

    def turn(role: str, *content: str) -> dict:
        return {"role": role, "content": [{"type": "text", "text": t} if t else {"type": "image"} for t in content]}

    talk = [turn("user", "", "What is it?"), turn("assistant", " A dog."), turn("user", 'And "now"?')]
    (text,), _ = render_jinja_template([talk], chat_template=chat_template(TEMPLATE), eos_token="</s>")
    assert text == 'USER: <image>\nWhat is it? ASSISTANT: A dog.</s>USER: \nAnd "now"? ASSISTANT:'
