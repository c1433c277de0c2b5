"""``avcap weights part``: a component out of a run's checkpoint, and back into such a component."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from avcap.checkpoints.loading import LEFT_OUT
from avcap.checkpoints.state import leave_out
from avcap.cli import main
from avcap.decoders import GITDecoder
from avcap.decoders.git_text import GITSize
from avcap.encoders import CAVMAEAudio, CAVMAEVisual, CEDEncoder, CLIPVisual, DALIAudio, TimmVisual
from avcap.frontends import KaldiFbank
from avcap.fusion import TokenConcat
from avcap.layers.lora import LoRA
from avcap.layers.vit import ViTSize
from avcap.weights import export_checkpoint, import_checkpoint, write_part

SOUND = {"size": ViTSize(32, 2, 4), "frontend": KaldiFbank(32, target_length=64)}
CLIP = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "projection_dim": 16, "image_size": 28}
COMPONENTS: dict[str, tuple[str, type[nn.Module], dict[str, Any]]] = {
    "CEDEncoder": ("audio_encoder", CEDEncoder, {**SOUND, "lora": LoRA(rank=2)}),
    "CAVMAEAudio": ("audio_encoder", CAVMAEAudio, SOUND),
    "DALIAudio": ("audio_encoder", DALIAudio, {**SOUND, "output_width": 24, "lora": LoRA(rank=2)}),
    "CAVMAEVisual": ("visual_encoder", CAVMAEVisual, {"size": ViTSize(32, 1, 4), "image_size": 32}),
    "TimmVisual": ("visual_encoder", TimmVisual, {"model": "test_resnet", "time_embedding": "learned"}),
    "CLIPVisual": ("visual_encoder", CLIPVisual, {"config": CLIP, "time_embedding": "learned"}),
    "GITDecoder": (
        "decoder",
        GITDecoder,
        {"input_width": 32, "size": GITSize(width=32, depth=1, heads=4, vocab_size=40)},
    ),
    "joint": ("fusion", TokenConcat, {"audio_width": 32, "visual_width": 32, "heads": 4}),
}


def build(name: str, seed: int, **more: Any) -> nn.Module:
    torch.manual_seed(seed)
    _, kind, arguments = COMPONENTS[name]
    component = kind(**arguments, **more)
    for parameter in component.parameters():
        nn.init.normal_(parameter, std=0.2)
    return component


def save_run(path: Path, parts: dict[str, nn.Module], config: dict[str, Any] | None = None) -> Path:
    """A checkpoint as a run writes it: the state, what is left out of it, the config."""
    system = nn.Module()
    for name, part in parts.items():
        system.add_module(name, part)
    content: dict[str, Any] = {"state_dict": dict(system.state_dict())}
    leave_out(system, tuple(parts), content)
    torch.save(content | {"hyper_parameters": config or {}}, path)
    return path


def named(part: nn.Module, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"avcap.somewhere.{type(part).__name__}", "init_args": arguments}


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_comes_back_from_its_part_of_a_run(name: str, tmp_path: Path) -> None:
    place = COMPONENTS[name][0]
    source = build(name, 0)
    run = save_run(tmp_path / "run.ckpt", {place: source, "other": nn.Linear(2, 2)}, {place: named(source)})
    path = f"{place}.joint" if name == "joint" else place
    report = write_part(run, path, tmp_path / "part.safetensors")
    assert report.component == ("fusion.joint" if name == "joint" else name)
    copy = build(name, 1, pretrained=str(tmp_path / "part.safetensors"))
    copy.load_pretrained()
    own, expected = copy.state_dict(), source.state_dict()
    assert all(torch.equal(own[key], expected[key]) for key in expected)
    assert len(report.names) == len(expected)


def test_a_part_without_adapters_fits_a_component_with_them_and_not_the_other_way(tmp_path: Path) -> None:
    arguments = {**COMPONENTS["DALIAudio"][2], "lora": None}
    plain, adapted = DALIAudio(**arguments), build("DALIAudio", 1)
    files = []
    for name, source in (("plain", plain), ("adapted", adapted)):
        run = save_run(tmp_path / f"{name}.ckpt", {"audio_encoder": source})
        files.append(str(tmp_path / f"{name}.safetensors"))
        write_part(run, "audio_encoder", Path(files[-1]))
    adapted.pretrained, plain.pretrained = files
    adapted.load_pretrained()
    weight = adapted.stream.blocks[0].attn.q_proj.base_layer.weight
    assert torch.equal(weight, plain.stream.blocks[0].attn.q_proj.weight)
    with pytest.raises(ValueError, match=r"unexpected .*check its sizes and its lora setting"):
        plain.load_pretrained()


def test_a_file_of_another_component_is_refused_by_its_class(tmp_path: Path) -> None:
    source = build("CAVMAEAudio", 0)
    run = save_run(tmp_path / "run.ckpt", {"audio_encoder": source}, {"audio_encoder": named(source)})
    write_part(run, "audio_encoder", tmp_path / "part.safetensors")
    encoder = build("CEDEncoder", 1, pretrained=str(tmp_path / "part.safetensors"))
    with pytest.raises(ValueError, match="holds weights of CAVMAEAudio, not of CEDEncoder"):
        encoder.load_pretrained()


def test_frozen_weights_that_the_checkpoint_leaves_out_stop_it(tmp_path: Path) -> None:
    source = build("CEDEncoder", 0, pretrained="checkpoints/ced.safetensors")
    config = {"audio_encoder": named(source, pretrained="checkpoints/ced.safetensors")}
    run = save_run(tmp_path / "run.ckpt", {"audio_encoder": source}, config)
    left = len(torch.load(run, weights_only=True)[LEFT_OUT])
    assert left > 0
    with pytest.raises(
        ValueError, match=rf"leaves out {left} frozen weights .* read from checkpoints/ced\.safetensors"
    ):
        write_part(run, "audio_encoder", tmp_path / "part.safetensors")
    assert not list(tmp_path.glob("*part*"))


def test_a_trained_module_of_a_frozen_component_can_be_taken(tmp_path: Path) -> None:
    source = build("TimmVisual", 0, frozen=True, pretrained="timm")
    run = save_run(tmp_path / "run.ckpt", {"visual_encoder": source})
    assert write_part(run, "visual_encoder.time", tmp_path / "time.safetensors").component == "visual_encoder.time"


def test_tensors_that_share_memory_and_the_same_bytes_twice(tmp_path: Path) -> None:
    tied = nn.ModuleDict({"words": nn.Linear(3, 4), "output": nn.Linear(3, 4)})
    tied["output"].weight = tied["words"].weight
    run = save_run(tmp_path / "run.ckpt", {"decoder": tied})
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for out in (first, second):
        assert len(write_part(run, "decoder", out).names) == 4
    assert first.read_bytes() == second.read_bytes()


def test_a_part_exports_like_the_run_it_came_from(tmp_path: Path) -> None:
    source = DALIAudio(ViTSize(48, 11, 4), output_width=32)
    run = save_run(tmp_path / "run.ckpt", {"audio_encoder": source})
    write_part(run, "audio_encoder", tmp_path / "part.safetensors")
    states = []
    for origin in (run, tmp_path / "part.safetensors"):
        export_checkpoint(origin, tmp_path / "official.pth", format_name="dali_audio")
        states.append(torch.load(tmp_path / "official.pth", weights_only=True))
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


# -- the command, and bad input -------------------------------------------------------------------------------------


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = save_run(tmp_path / "run.ckpt", {"decoder": nn.ModuleDict({"prefix": nn.Linear(3, 4)})})
    main(["weights", "part", str(run), "decoder.prefix", str(tmp_path / "prefix.safetensors")])
    out = capsys.readouterr().out
    assert "decoder.prefix (decoder.prefix): 2 tensors, 16 values" in out
    assert (tmp_path / "prefix.safetensors").is_file()


@pytest.mark.parametrize(
    ("part", "hint"),
    [("encoder", "choose among decoder, fusion"), ("decoder.prefixes", "choose among decoder.prefix, decoder.text")],
)
def test_a_part_that_is_not_there_is_answered_with_those_that_are(part: str, hint: str, tmp_path: Path) -> None:
    decoder = nn.ModuleDict({"prefix": nn.Linear(3, 4), "text": nn.Linear(3, 4)})
    run = save_run(tmp_path / "run.ckpt", {"decoder": decoder, "fusion": nn.Linear(2, 2)})
    with pytest.raises(ValueError, match=hint):
        write_part(run, part, tmp_path / "part.safetensors")


def test_bad_files_are_refused(tmp_path: Path) -> None:
    weights, objects = tmp_path / "weights.pth", tmp_path / "objects.ckpt"
    torch.save({"a": torch.zeros(1)}, weights)
    torch.save({"state_dict": {"a.b": torch.zeros(1)}, "config": Path("x")}, objects)
    with pytest.raises(ValueError, match="is no checkpoint of `avcap fit`"):
        write_part(weights, "a", tmp_path / "part.safetensors")
    with pytest.raises(ValueError, match="holds Python objects beside tensors"):
        write_part(objects, "a", tmp_path / "part.safetensors")
    with pytest.raises(ValueError, match=r"is no \.safetensors file"):
        write_part(objects, "a", tmp_path / "part.pth")
    with pytest.raises(FileNotFoundError, match="here is no checkpoint"):
        write_part(tmp_path / "none.ckpt", "a", tmp_path / "part.safetensors")


def test_a_run_given_to_import_is_told_to_be_one(tmp_path: Path) -> None:
    run = save_run(
        tmp_path / "run.ckpt", {"audio_encoder": build("CEDEncoder", 0)}, {"_class_path": "avcap.systems.Captioner"}
    )
    with pytest.raises(ValueError, match=r"is a checkpoint of a run; .*`avcap weights part .*run\.ckpt audio_encoder"):
        import_checkpoint(run, tmp_path / "out.safetensors")
