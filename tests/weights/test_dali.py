"""Import of DALI's audio backbone and of LLaVA's projector, and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from avcap.checkpoints.loading import load_part, load_weights
from avcap.commands import weights as commands
from avcap.encoders import DALIAudio
from avcap.layers.vit import ViTSize
from avcap.losses import AttentiveOTAlignment
from avcap.types import Tokens
from avcap.weights import FORMATS, ImportOptions, export_checkpoint, find_format, import_checkpoint
from tests.encoders.cav_mae_golden import official_state
from tests.golden import golden

BRANCH, ARRAYS = golden.load("dali_audio_branch")
LOSSES, LOSS_ARRAYS = golden.load("dali_losses")
USED = {p["name"] for p in BRANCH["parameters"] if p["used"]}
SIZE = {"size": ViTSize(48, 11, 4), "output_width": 32}
ELSEWHERE = (  # what the official model holds beside the audio path
    "modality_v",
    "pos_embed_v",
    "patch_embed_v.proj.weight",
    "patch_embed_v.proj.bias",
    "norm.weight",
    "norm.bias",
    "norm_v.weight",
    "norm_v.bias",
    "decoder_embed.weight",
    "decoder_pos_embed_a",
    "decoder_blocks.0.norm1.weight",
    "mask_token",
    "blocks_v.0.attn.qkv.weight",
    "blocks_v.0.norm1.weight",
    "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight",
)


def backbone() -> dict[str, Tensor]:
    """The official backbone at width 48, all that is beside the audio path in it."""
    return official_state(BRANCH) | {name: torch.zeros(3) for name in ELSEWHERE}


def scorers() -> dict[str, Tensor]:
    return official_state(LOSSES)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "audio_model.pth"
    torch.save({f"module.{name}": value for name, value in (backbone() | scorers()).items()}, path)
    return path


# -- the audio backbone ---------------------------------------------------------------------------------------------


def test_the_file_fills_the_encoder_and_its_tokens_are_the_official_ones(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "dali.safetensors"
    report = import_checkpoint(checkpoint, out)
    assert (report.format, report.component, report.missing, report.unexpected) == ("dali_audio", "DALIAudio", (), ())
    unused = {p["name"] for p in BRANCH["parameters"] if not p["used"]}
    assert set(report.ignored) == unused | set(ELSEWHERE)
    encoder = DALIAudio(pretrained=str(out), frozen=True, **SIZE).eval()
    encoder.load_pretrained()
    with torch.no_grad():
        tokens = encoder(torch.from_numpy(golden.inputs(BRANCH)["audio"])).x
    golden.check(BRANCH, ARRAYS, "projected", tokens.numpy())


@pytest.mark.parametrize("with_scorers", [True, False])
def test_the_account_with_and_without_scorers(with_scorers: bool) -> None:
    state = backbone() | (scorers() if with_scorers else {})
    kind = find_format(state)
    conversion = kind.convert(state, ImportOptions())
    assert kind.name == "dali_audio"
    assert set(conversion.state) == conversion.required
    assert sum(name.startswith("scorers.") for name in conversion.state) == (len(scorers()) if with_scorers else 0)
    assert conversion.about == {
        "width": "48",
        "depth": "11",
        "joint_depth": "1",
        "output_width": "32",
        "target_length": "1024",
        "scorers": "included" if with_scorers else "absent",
    }


def test_the_scorers_weigh_tokens_as_the_official_ones(checkpoint: Path, tmp_path: Path) -> None:
    import_checkpoint(checkpoint, tmp_path / "dali.safetensors")
    config = LOSSES["config"]
    objective = AttentiveOTAlignment(config["dim"], heads=config["heads"])
    load_part(objective, tmp_path / "dali.safetensors", part="scorers", component="AttentiveOTAlignment")
    audio, image = (Tokens(torch.from_numpy(golden.inputs(LOSSES)[f"{name}_tokens"])) for name in ("audio", "image"))
    with torch.no_grad():
        golden.check(LOSSES, LOSS_ARRAYS, "audio_weights", objective.audio_scorer(audio, image).numpy())
        golden.check(LOSSES, LOSS_ARRAYS, "image_weights", objective.image_scorer(image, audio).numpy())


@pytest.mark.parametrize("gone", ["proj.bias", "norm_a.weight", "blocks_u.0.norm2_a.bias", "image_scorer.in_proj_bias"])
def test_a_missing_weight_stops_the_import(gone: str, tmp_path: Path) -> None:
    state = backbone() | scorers()
    del state[gone]
    torch.save(state, tmp_path / "dali.pth")
    with pytest.raises(ValueError, match=r"not a complete dali_audio checkpoint: 1 missing"):
        import_checkpoint(tmp_path / "dali.pth", tmp_path / "out.safetensors", format_name="dali_audio")
    assert not (tmp_path / "out.safetensors").exists()


def test_a_stranger_stops_the_import(tmp_path: Path) -> None:
    torch.save(backbone() | {"blocks_a.0.attn.gate": torch.zeros(1)}, tmp_path / "dali.pth")
    with pytest.raises(ValueError, match=r"1 unexpected \(blocks_a\.0\.attn\.gate\)"):
        import_checkpoint(tmp_path / "dali.pth", tmp_path / "out.safetensors")


def test_positions_are_fitted_to_the_target_length() -> None:
    conversion = FORMATS["dali_audio"].convert(backbone(), ImportOptions(target_length=512))
    whole = backbone()["pos_embed_a"].unflatten(1, (8, 64))
    assert torch.equal(conversion.state["audio.stream.pos_embed"], whole[:, :, :32].flatten(1, 2))


def test_export_is_the_exact_way_back(checkpoint: Path, tmp_path: Path) -> None:
    ours, back, again = (tmp_path / name for name in ("ours.safetensors", "back.pth", "again.safetensors"))
    import_checkpoint(checkpoint, ours)
    export_checkpoint(ours, back, format_name="dali_audio")
    official, returned = (torch.load(path, weights_only=True) for path in (checkpoint, back))
    assert set(returned) == {f"module.{name}" for name in USED | set(scorers())}
    assert all(torch.equal(returned[name], official[name]) for name in returned)
    import_checkpoint(back, again)
    assert again.stat().st_size == ours.stat().st_size


def test_export_from_a_run_and_what_is_missing_there(tmp_path: Path) -> None:
    encoder = DALIAudio(**SIZE)
    run, back = tmp_path / "run.ckpt", tmp_path / "back.pth"
    scorers_of_run = AttentiveOTAlignment(24)
    state = {f"audio_encoder.{n}": v for n, v in encoder.state_dict().items()}
    torch.save({"state_dict": state | {f"objective.{n}": v for n, v in scorers_of_run.state_dict().items()}}, run)
    export_checkpoint(run, back, format_name="dali_audio")
    returned = torch.load(back, weights_only=True)
    assert set(returned) == {f"module.{name}" for name in USED | set(scorers())}
    assert torch.equal(returned["module.i_k.weight"], scorers_of_run.audio_scorer.key.weight)
    assert torch.equal(returned["module.proj.weight"], encoder.projection.weight)
    assert torch.equal(returned["module.blocks_u.0.norm1_a.weight"], encoder.joint.blocks[0].norm1.weight)
    torch.save({"state_dict": {"audio_encoder.projection.weight": torch.zeros(32, 48)}}, run)
    with pytest.raises(ValueError, match="weights that dali_audio needs are not in the source"):
        export_checkpoint(run, back, format_name="dali_audio")


def test_a_cav_mae_is_not_taken_for_dali() -> None:
    state = official_state(golden.load("avcap_encoder_f1")[0])
    assert find_format(state).name == "cav_mae"


# -- the projector --------------------------------------------------------------------------------------------------


def projector(begin: str) -> dict[str, Tensor]:
    shapes = {"0.weight": (16, 24), "0.bias": (16,), "2.weight": (16, 16), "2.bias": (16,)}
    return {f"{begin}{name}": torch.randn(shape) for name, shape in shapes.items()}


def hugging_face_projector() -> torch.nn.Module:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig
    from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

    config = LlavaConfig(CLIPVisionConfig(hidden_size=24), LlamaConfig(hidden_size=16))
    return LlavaMultiModalProjector(config)


@pytest.mark.parametrize(
    "begin",
    ["mm_projector.", "model.mm_projector.", "audio_projector.", "model.audio_projector.", "module.mm_projector."],
)
def test_an_original_projector_computes_the_same_under_the_names_of_hugging_face(begin: str, tmp_path: Path) -> None:
    state = projector(begin)
    original = torch.nn.Sequential(torch.nn.Linear(24, 16), torch.nn.GELU(), torch.nn.Linear(16, 16))
    original.load_state_dict({name.removeprefix(begin): value for name, value in state.items()})
    torch.save(state, tmp_path / "mm_projector.bin")
    report = import_checkpoint(tmp_path / "mm_projector.bin", tmp_path / "out.safetensors")
    assert (report.format, report.ignored) == ("llava_projector", ())
    module = hugging_face_projector()
    about = load_weights(module, tmp_path / "out.safetensors", component="fusion.audio_projector")
    assert (about["input_width"], about["width"]) == ("24", "16")
    x = torch.randn(2, 5, 24)
    torch.testing.assert_close(module(x), original(x), rtol=1e-6, atol=1e-6)


def test_the_projector_goes_back_from_a_file_and_from_a_run(tmp_path: Path) -> None:
    state = projector("model.mm_projector.")
    source, ours, run = (tmp_path / name for name in ("mm_projector.bin", "ours.safetensors", "run.ckpt"))
    torch.save(state, source)
    import_checkpoint(source, ours)
    module = hugging_face_projector()
    load_weights(module, ours, component="fusion.audio_projector")
    torch.save({"state_dict": {f"fusion.audio_projector.{n}": v for n, v in module.state_dict().items()}}, run)
    for origin in (ours, run):
        export_checkpoint(origin, tmp_path / "back.bin", format_name="llava_projector")
        returned = torch.load(tmp_path / "back.bin", weights_only=True)
        assert set(returned) == set(state)
        assert all(torch.equal(returned[name], state[name]) for name in state)


def test_a_projector_with_another_layer_is_refused(tmp_path: Path) -> None:
    torch.save(projector("mm_projector.") | {"mm_projector.4.weight": torch.zeros(1)}, tmp_path / "three.bin")
    with pytest.raises(ValueError, match=r"1 unexpected \(mm_projector\.4\.weight\)"):
        import_checkpoint(tmp_path / "three.bin", tmp_path / "out.safetensors", format_name="llava_projector")


def test_formats_lists_both(capsys: pytest.CaptureFixture[str]) -> None:
    commands.formats()
    rows = {line.split()[0]: line.split()[1] for line in capsys.readouterr().out.splitlines()}
    assert rows["dali_audio"] == "DALIAudio"
    assert rows["llava_projector"] == "fusion.audio_projector"
