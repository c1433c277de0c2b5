"""DALI's audio branch: parity with the official code, where its weights come from, what is trained."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from avcap.checkpoints.state import reloadable
from avcap.encoders import CAVMAEAudio, DALIAudio
from avcap.fusion import TokenConcat
from avcap.layers.lora import LoRA
from avcap.layers.vit import ViTSize
from avcap.weights import FORMATS, ImportOptions
from tests.encoders.cav_mae_golden import official_state, part
from tests.encoders.sizes import arguments
from tests.golden import golden

TINY = {"width": 32, "depth": 2, "heads": 4, "output_width": 24, "mels": 32, "target_length": 64}


@lru_cache(maxsize=1)
def official() -> DALIAudio:
    manifest, _ = golden.load("dali_audio_branch")
    config = manifest["config"]
    size = ViTSize(config["embed_dim"], config["modality_specific_depth"], config["num_heads"])
    encoder = DALIAudio(size, output_width=config["proj_dim"]).eval()
    conversion = FORMATS["dali_audio"].convert(official_state(manifest), ImportOptions())
    encoder.load_state_dict(part(conversion.state, "audio"))
    return encoder


def tiny(seed: int = 0, **changes) -> DALIAudio:
    torch.manual_seed(seed)
    encoder = DALIAudio(**arguments(**{**TINY, **changes}))
    for parameter in encoder.parameters():  # norms and biases too, so that a mix-up shows
        torch.nn.init.normal_(parameter, std=0.2)
    return encoder


def fbank(batch: int = 2, frames: int = 64) -> Tensor:
    return torch.randn(batch, frames, 32, generator=torch.Generator().manual_seed(1))


def cav_mae_file(path: Path) -> tuple[CAVMAEAudio, TokenConcat, str]:
    """A small CAV-MAE with weights of its own everywhere, as imported."""
    torch.manual_seed(3)
    sizes = {name: TINY[name] for name in ("width", "depth", "heads", "mels", "target_length")}
    audio, fusion = CAVMAEAudio(**arguments(**sizes)), TokenConcat(32, 32, heads=4)
    for parameter in (*audio.parameters(), *fusion.parameters()):
        torch.nn.init.normal_(parameter, std=0.2)
    state = {f"audio.{name}": value.clone() for name, value in audio.state_dict().items()}
    state |= {f"joint.{name}": value.clone() for name, value in fusion.joint.state_dict().items()}
    save_file(state, path)
    return audio.eval(), fusion.eval(), str(path)


# -- numbers --------------------------------------------------------------------------------------------------------


def test_features_and_tokens_match_the_official_code() -> None:
    manifest, arrays = golden.load("dali_audio_branch")
    audio = torch.from_numpy(golden.inputs(manifest)["audio"])
    with torch.no_grad():
        golden.check(manifest, arrays, "features", official().features(audio).x.numpy())
        golden.check(manifest, arrays, "projected", official()(audio).x.numpy())


def test_every_parameter_that_takes_part_officially_is_the_whole_of_ours() -> None:
    used = [p for p in golden.load("dali_audio_branch")[0]["parameters"] if p["used"]]
    fused = sum(".qkv." in p["name"] for p in used)
    assert len(official().state_dict()) == len(used) + 2 * fused  # q, k and v are apart in ours


def test_it_is_cav_mae_with_sound_alone_and_a_projection(tmp_path: Path) -> None:
    audio, fusion, path = cav_mae_file(tmp_path / "cav_mae.safetensors")
    encoder = DALIAudio(**arguments(**TINY, pretrained=path)).eval()
    encoder.load_pretrained()
    with torch.no_grad():
        alone = fusion(audio(fbank()), None).tokens.x
        torch.testing.assert_close(encoder.features(fbank()).x, alone, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(encoder(fbank()).x, encoder.projection(alone), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("frames", [64, 48])
def test_shapes_and_masks(frames: int) -> None:
    encoder = tiny()
    mask = torch.ones(2, frames, dtype=torch.bool)
    mask[1] = False
    tokens = encoder(fbank(frames=frames), mask)
    assert tokens.x.shape == (2, 2 * frames // 16, encoder.width)
    assert tokens.mask.tolist() == [[True] * tokens.x.shape[1], [False] * tokens.x.shape[1]]
    assert encoder(fbank(frames=frames)).mask is None
    assert encoder.input_shape(8) == (64, 32)
    assert encoder.width == 24


def test_padding_that_is_masked_changes_no_real_token_and_padding_that_is_not_does() -> None:
    mask = torch.ones(2, 64, dtype=torch.bool)
    mask[0, 32:] = False
    quiet, loud = fbank(), fbank()
    loud[0, 32:] += 3.0
    for encoder, alike in ((tiny(mask_padding=True), True), (tiny(), False)):
        with torch.no_grad():
            one, two = encoder.eval()(quiet, mask), encoder(loud, mask)
        real = one.mask[0] if alike else torch.tensor([True, True, False, False] * 2)
        assert torch.allclose(one.x[0, real], two.x[0, real], rtol=0, atol=1e-6) is alike


# -- what is trained ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("joint_depth", [0, 2])
def test_every_parameter_gets_a_gradient(joint_depth: int) -> None:
    encoder = tiny(joint_depth=joint_depth)
    encoder(fbank()).x.square().sum().backward()
    assert not [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]


def test_frozen_keeps_all_weights_and_no_graph() -> None:
    encoder = tiny(frozen=True)
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not encoder(fbank().requires_grad_()).x.requires_grad


@pytest.mark.parametrize(("frozen", "also"), [(False, {"projection.weight", "projection.bias"}), (True, set())])
def test_lora_trains_adapters_and_unless_frozen_the_projection(frozen: bool, also: set[str]) -> None:
    encoder = tiny(lora=LoRA(rank=2), frozen=frozen)
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    adapters = {name for name in trained if ".lora_" in name}
    assert trained - adapters == also
    assert {name.partition(".")[0] for name in adapters} == {"stream", "joint"}
    encoder(fbank()).x.sum().backward()
    assert all(p.grad is not None for name, p in encoder.named_parameters() if name in trained)


@pytest.mark.parametrize(
    ("changes", "kept"), [({"frozen": True}, False), ({"lora": LoRA(rank=2)}, True), ({"positions": "fixed"}, True)]
)
def test_a_checkpoint_holds_all_of_it_unless_nothing_is_trained(changes: dict, kept: bool) -> None:
    system = torch.nn.Module()
    system.audio_encoder = DALIAudio(**arguments(**TINY, pretrained="cav_mae.safetensors", **changes))
    absent = reloadable(system, ("audio_encoder",))
    assert absent == (set() if kept else set(system.state_dict()))


# -- weights --------------------------------------------------------------------------------------------------------


def test_alignment_starts_from_cav_mae_with_a_random_projection_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audio, _, path = cav_mae_file(tmp_path / "cav_mae.safetensors")
    encoder = DALIAudio(**arguments(**TINY, pretrained=path, lora=LoRA(rank=2)))
    start = encoder.projection.weight.clone()
    with caplog.at_level(logging.WARNING):
        encoder.load_pretrained()
    assert "projection starts at random" in caplog.text
    assert torch.equal(encoder.projection.weight, start)
    assert torch.equal(encoder.stream.blocks[0].attn.q_proj.base_layer.weight, audio.blocks[0].attn.q_proj.weight)


def test_a_frozen_projection_must_come_from_the_file(tmp_path: Path) -> None:
    path = cav_mae_file(tmp_path / "cav_mae.safetensors")[2]
    with pytest.raises(ValueError, match="would stay random; set frozen: false"):
        DALIAudio(**arguments(**TINY, pretrained=path, frozen=True)).load_pretrained()


def test_another_number_of_joint_blocks_is_named(tmp_path: Path) -> None:
    path = cav_mae_file(tmp_path / "cav_mae.safetensors")[2]
    with pytest.raises(ValueError, match=r"holds 1 blocks .* set joint_depth: 1"):
        DALIAudio(**arguments(**TINY, joint_depth=2, pretrained=path)).load_pretrained()


def test_bad_depth() -> None:
    with pytest.raises(ValueError, match="joint_depth is -1"):
        DALIAudio(**arguments(**TINY, joint_depth=-1))


def test_tokens_run_through_the_time_once_for_each_band():
    encoder = tiny(depth=0).eval()  # without a block, a token depends on its own patch alone
    late = fbank(1)
    late[:, 48:] += 1.0  # the last of 4 patches in time
    change = (encoder.stream(late).x - encoder.stream(fbank(1)).x).abs().sum(-1)[0]  # [2 bands * 4]
    assert change.reshape(2, 4).gt(0).tolist() == [[False, False, False, True]] * 2
