"""The CED encoder: parity with the official code, masks, LoRA, and staying frozen."""

from __future__ import annotations

import copy

import pytest
import torch

from avcap.encoders import CEDEncoder
from avcap.encoders.ced import CED_SIZES
from avcap.frontends import KaldiFbank, Waveform
from avcap.layers.lora import LoRA
from avcap.layers.vit import ViTSize
from avcap.weights import ImportOptions, find_format
from tests.golden import golden

CASES = [
    "ced_encoder_official_512",
    "ced_encoder_official_1024",
    "ced_encoder_lavcap_512",
    "ced_encoder_lavcap_1024",
    "ced_encoder_load_1012",
]


def tiny(**changes) -> CEDEncoder:
    torch.manual_seed(0)
    size = {"width": 24, "depth": 2, "heads": 2}
    size |= {name: changes.pop(name) for name in ("depth", "dropout", "drop_path") if name in changes}
    return CEDEncoder(ViTSize(**size), frontend=KaldiFbank(target_length=changes.pop("target_length", 96)), **changes)


def from_golden(manifest: dict, **changes) -> CEDEncoder:
    config = manifest["config"]
    encoder = CEDEncoder(
        ViTSize(config["embed_dim"], config["depth"], config["num_heads"]),
        frontend=KaldiFbank(config["n_mels"], target_length=config["target_length"]),
        **changes,
    )
    state = {key: torch.from_numpy(value.copy()) for key, value in golden.state_dict(manifest).items()}
    conversion = find_format(state).convert(state, ImportOptions(config["target_length"]))
    encoder.load_state_dict(conversion.state)
    return encoder.eval()


@pytest.mark.parametrize("case", CASES)
def test_matches_official(case):
    """Within the tolerance stored in the case: rtol 1e-4, atol 1e-5."""
    manifest, npz = golden.load(case)
    spectrogram = torch.from_numpy(golden.inputs(manifest)["spec"])
    with torch.no_grad():
        every = from_golden(manifest, frequency_mean=False)(spectrogram).x
        averaged = from_golden(manifest)(spectrogram).x
    golden.check(manifest, npz, "tokens", every.numpy())
    if "tokens_mean_over_frequency" in npz:
        golden.check(manifest, npz, "tokens_mean_over_frequency", averaged.numpy())
    torch.testing.assert_close(averaged, every.unflatten(1, (4, -1)).mean(1))


def test_frozen_encoder_matches_official_in_training_mode():
    """The official code falls into batch statistics here."""
    manifest, npz = golden.load("ced_encoder_lavcap_512")
    encoder = from_golden(manifest, frozen=True, frequency_mean=False).train()
    before = encoder.init_bn.running_mean.clone()
    out = encoder(torch.from_numpy(golden.inputs(manifest)["spec"])).x
    golden.check(manifest, npz, "tokens", out.numpy())
    assert not out.requires_grad
    torch.testing.assert_close(encoder.init_bn.running_mean, before, rtol=0, atol=0)


@pytest.mark.parametrize("size", CED_SIZES)
def test_published_sizes_have_the_official_parameters(size):
    manifest, _ = golden.load("ced_names")
    table = manifest["tables"][f"lavcap_{size}"]
    head = sum(torch.Size(shape).numel() for name, shape in table["table"].items() if name.startswith("output_layer."))
    with torch.device("meta"):
        encoder = CEDEncoder(size)
    assert sum(p.numel() for p in encoder.parameters()) == table["count"] - head


def test_lora_trains_294912_parameters_at_base_size_under_the_official_names():
    manifest, _ = golden.load("ced_names")
    official = manifest["tables"]["lavcap_base_with_lora"]
    with torch.device("meta"):
        encoder = CEDEncoder("base", frozen=True, lora=LoRA())
    trainable = {name: p for name, p in encoder.named_parameters() if p.requires_grad}
    assert sum(p.numel() for p in trainable.values()) == official["trainable"] == 294_912
    first = {name for name in trainable if name.startswith("blocks.0.")}
    assert {f"base_model.model.{name}" for name in first} == {name for name in official["table"] if "lora_" in name}


def test_lora_starts_as_the_plain_encoder_and_alone_is_trained():
    x = torch.randn(2, 96, 64)
    encoder = tiny(lora=LoRA(rank=4, dropout=0.0)).train()
    plain = tiny().eval()
    plain.load_state_dict(
        {k.replace(".base_layer", ""): v for k, v in encoder.state_dict().items() if "lora_" not in k}
    )
    torch.testing.assert_close(encoder(x).x, plain(x).x)
    encoder(x).x.square().mean().backward()
    touched = {name for name, p in encoder.named_parameters() if p.grad is not None}
    assert touched == {name for name, _ in encoder.named_parameters() if "lora_" in name}


def test_only_lora_dropout_follows_train():
    encoder = tiny(lora=LoRA(dropout=0.5), dropout=0.5, drop_path=0.5).train()
    training = {name for name, module in encoder.named_modules() if module.training}
    assert training
    assert all("lora_dropout" in name.split(".") for name in training)
    assert not any(module.training for module in encoder.eval().modules())
    assert any(module.training for module in copy.deepcopy(encoder).train().modules())


def test_unknown_lora_target_names_the_layers():
    with pytest.raises(ValueError, match=r"lora.targets names \['query'\].*q_proj"):
        tiny(lora=LoRA(targets=("query",)))


def test_every_parameter_is_trained_by_default():
    encoder = tiny(drop_path=0.1, dropout=0.1).train()
    encoder(torch.randn(2, 96, 64)).x.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("frequency_mean", [True, False])
def test_short_input_uses_the_first_positions_and_drops_a_partial_patch(frequency_mean):
    encoder = tiny(frequency_mean=frequency_mean).eval()
    short = tiny(frequency_mean=frequency_mean, target_length=48).eval()
    state = encoder.state_dict()
    short.load_state_dict({**state, "time_pos_embed": state["time_pos_embed"][..., :3]})
    x = torch.randn(2, 60, 64)
    out = encoder(x)
    assert out.x.shape == (2, 3 if frequency_mean else 12, 24)
    assert out.mask is None
    torch.testing.assert_close(out.x, short(x[:, :48]).x)


@pytest.mark.parametrize(
    ("frames", "mels", "message"), [(97, 64, "97 frames"), (15, 64, "15 frames"), (96, 128, "128 mel")]
)
def test_wrong_spectrogram_is_refused(frames, mels, message):
    with pytest.raises(ValueError, match=message):
        tiny()(torch.zeros(1, frames, mels))


def test_sizes_must_be_known_and_fit():
    with pytest.raises(ValueError, match="or give width, depth and heads"):
        CEDEncoder("large")
    with pytest.raises(ValueError, match="multiple of heads"):
        CEDEncoder(ViTSize(10, 1, 3))
    with pytest.raises(ValueError, match="100 mel bins must be a multiple of patch 16"):
        CEDEncoder("tiny", frontend=KaldiFbank(100))
    with pytest.raises(ValueError, match="Waveform makes no spectrogram"):
        CEDEncoder("tiny", frontend=Waveform())


def test_padding_counts_as_sound_by_default():
    x = torch.randn(2, 96, 64)
    mask = torch.arange(96) < torch.tensor([[40], [0]])
    encoder = tiny().eval()
    out = encoder(x, mask)
    torch.testing.assert_close(out.x, encoder(x).x)
    assert out.mask.tolist() == [[True] * 6, [False] * 6]


@pytest.mark.parametrize("frequency_mean", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_masked_padding_never_changes_the_result(frequency_mean, dtype):
    """A clip of 40 frames has 3 real columns; bfloat16 takes another way through the attention."""
    encoder = tiny(mask_padding=True, frequency_mean=frequency_mean).eval()
    x = torch.randn(2, 96, 64)
    x[0, 40:] = 1.00323
    mask = torch.arange(96) < torch.tensor([[40], [0]])
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        out = encoder(x, mask)
        alone = encoder(x[:1, :48], mask[:1, :48])
    rows = 1 if frequency_mean else 4
    kept = out.x[0].unflatten(0, (rows, 6))[:, :3]
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2
    torch.testing.assert_close(kept, alone.x[0].unflatten(0, (rows, 3)), rtol=tolerance, atol=tolerance)
    assert out.mask[0].unflatten(0, (rows, 6)).tolist() == [[True] * 3 + [False] * 3] * rows
    assert not out.mask[1].any()
    assert out.x.isfinite().all()


def test_absent_sound_has_finite_gradients():
    encoder = tiny(mask_padding=True).train()
    encoder(torch.randn(2, 96, 64), torch.zeros(2, 96, dtype=torch.bool)).x.sum().backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


def test_bfloat16_autocast_is_close_to_float32():
    encoder = tiny().eval()
    x = torch.randn(2, 96, 64)
    exact = encoder(x).x
    with torch.autocast("cpu", torch.bfloat16):
        out = encoder(x).x
    torch.testing.assert_close(out.float(), exact, rtol=0.05, atol=0.05)


def test_works_on_the_meta_device():
    with torch.device("meta"):
        encoder = CEDEncoder("base", lora=LoRA())
        out = encoder(torch.empty(2, 1024, 64), torch.ones(2, 1024, dtype=torch.bool))
    assert out.x.shape == (2, 64, 768)
    assert out.mask.shape == (2, 64)
