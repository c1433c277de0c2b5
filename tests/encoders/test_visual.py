"""The visual encoders: shapes, masks, resizing, freezing, and loading."""

from __future__ import annotations

import pickle

import pytest
import torch
from safetensors.torch import save_file

from avcap.encoders import CLIPVisual, PrecomputedVisual, TimmVisual

VIT = {
    "model": "vit_tiny_patch16_224",
    "image_size": 32,
    "model_args": {"patch_size": 8, "depth": 1, "embed_dim": 24, "num_heads": 2},
}
CLIP = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
    "projection_dim": 24,
}


def frames(clips: int = 2, count: int = 3, side: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (clips, count, 3, side, side), dtype=torch.uint8, generator=generator)


MASK = torch.tensor([[True, True, False], [False, False, False]])


@pytest.mark.parametrize(
    ("arguments", "cells"),
    [
        (VIT, 16),
        ({"model": "test_resnet", "image_size": 32}, 1),
        ({"model": "resnet10t", "image_size": 64, "model_args": {"channels": [8, 16, 24, 32], "stem_width": 8}}, 4),
        ({"model": "test_mambaout", "image_size": 64}, 4),  # channels last
    ],
)
def test_any_timm_model_gives_frame_major_tokens(arguments, cells):
    torch.manual_seed(0)
    every = TimmVisual(**arguments, pooling="none").eval()
    averaged = TimmVisual(**arguments, pooling="mean").eval()
    averaged.load_state_dict(every.state_dict())
    x = frames()
    out = every(x, MASK)
    assert out.x.shape == (2, 3 * cells, every.width)
    assert out.mask.tolist() == [[True] * 2 * cells + [False] * cells, [False] * 3 * cells]
    torch.testing.assert_close(out.x[1, cells : 2 * cells], every(x[1:, 1:2]).x[0], rtol=1e-4, atol=1e-4)
    mean = averaged(x, MASK)
    torch.testing.assert_close(mean.x, out.x.unflatten(1, (3, cells)).mean(2))
    assert mean.mask.tolist() == MASK.tolist()
    assert every(x).mask is None


def test_class_token_needs_a_model_that_has_one():
    assert TimmVisual(**VIT, pooling="cls")(frames()).x.shape == (2, 3, 24)
    with pytest.raises(ValueError, match="no class token"):
        TimmVisual("test_resnet", pooling="cls")


def test_unknown_model_is_refused_with_close_names():
    with pytest.raises(ValueError, match=r"resnet_99.*resnet"):
        TimmVisual("resnet_99")


def test_normalisation_is_the_models_own():
    encoder = TimmVisual(**VIT)  # mean and deviation 0.5
    images = encoder.normalise(torch.full((1, 1, 3, 32, 32), 255, dtype=torch.uint8))
    torch.testing.assert_close(images, torch.ones(1, 3, 32, 32))
    clip = CLIPVisual(config=CLIP).normalise(frames())
    expected = (
        frames().flatten(0, 1) / 255 - torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    ) / torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    torch.testing.assert_close(clip, expected)


def test_frames_of_another_size_are_resized():
    encoder = TimmVisual(**VIT)
    flat = torch.full((1, 2, 3, 50, 70), 128, dtype=torch.uint8)
    torch.testing.assert_close(encoder.normalise(flat), encoder.normalise(flat[..., :32, :32]), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="must be"):
        encoder(torch.zeros(2, 3, 32, 32))


@pytest.mark.parametrize(
    "build", [lambda **k: TimmVisual("test_resnet", image_size=32, **k), lambda **k: CLIPVisual(config=CLIP, **k)]
)
def test_frozen_backbone_keeps_still_but_its_time_embedding_learns(build):
    encoder = build(frozen=True, time_embedding="learned").train()
    assert not any(module.training for module in encoder.backbone.modules())
    first = encoder(frames()).x
    first.sum().backward()
    assert {name for name, p in encoder.named_parameters() if p.grad is not None} == {"time.weight"}
    torch.testing.assert_close(encoder(frames()).x, first)


def test_trainable_backbone_gets_gradients():
    encoder = TimmVisual(**VIT, pooling="none", fused_attention=False).train()
    encoder(frames()).x.square().sum().backward()
    silent = {name for name, p in encoder.named_parameters() if p.grad is None}
    assert silent == set()
    patches = CLIPVisual(config=CLIP, output="patches", frozen=False).train()
    patches(frames()).x.square().sum().backward()
    assert {name for name, p in patches.named_parameters() if p.grad is None} == set()


def test_unfused_attention_is_the_same():
    torch.manual_seed(0)
    fused, plain = TimmVisual(**VIT).eval(), TimmVisual(**VIT, fused_attention=False).eval()
    plain.load_state_dict(fused.state_dict())
    assert not plain.backbone.blocks[0].attn.fused_attn
    torch.testing.assert_close(fused(frames()).x, plain(frames()).x, rtol=1e-4, atol=1e-5)


def test_time_embeddings_tell_frames_apart():
    still = frames(1, 1).repeat(1, 3, 1, 1, 1)
    for name, differ in (("none", False), ("learned", True), ("sinusoidal", True)):
        x = TimmVisual(**VIT, time_embedding=name, pooling="none").eval()(still).x.unflatten(1, (3, -1))
        assert bool((x[:, 0] - x[:, 2]).abs().max() > 1e-3) is differ, name
    with pytest.raises(ValueError, match="raise max_frames"):
        TimmVisual(**VIT, time_embedding="learned", max_frames=2)(frames())
    with pytest.raises(ValueError, match="odd"):
        PrecomputedVisual(7, time_embedding="sinusoidal")


def test_precomputed_passes_features_on():
    features = torch.randn(2, 20, 768)
    mask = torch.ones(2, 20, dtype=torch.bool)
    out = PrecomputedVisual()(features, mask)
    assert out.x is not None
    torch.testing.assert_close(out.x, features, rtol=0, atol=0)
    assert out.mask is mask
    assert PrecomputedVisual.input == "visual_features"
    with pytest.raises(ValueError, match="512 channels and the encoder 768"):
        PrecomputedVisual(768)(torch.zeros(1, 20, 512))


def test_clip_layers_are_those_of_transformers(tmp_path):
    """Second-to-last hidden state without the class token; the projected class token; loaded from a local folder."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    official = CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP)).eval()
    official.save_pretrained(tmp_path)
    patches = CLIPVisual(config=CLIP, output="patches", layer=-2, pretrained=str(tmp_path))
    projected = CLIPVisual(config=CLIP, pretrained=str(tmp_path))
    patches.load_pretrained()
    projected.load_pretrained()
    with torch.no_grad():
        expected = official(projected.normalise(frames()), output_hidden_states=True)
    torch.testing.assert_close(
        patches(frames()).x, expected.hidden_states[-2][:, 1:].reshape(2, 12, 32), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(projected(frames()).x, expected.image_embeds.reshape(2, 3, 24), rtol=1e-4, atol=1e-5)
    assert patches.width == 32
    assert projected.width == 24
    assert not any(p.requires_grad for p in projected.parameters())


def test_clip_loading_faults_are_named(tmp_path):
    from transformers import CLIPVisionConfig, CLIPVisionModel

    with pytest.raises(FileNotFoundError, match="neither a folder"):
        CLIPVisual(config=CLIP, pretrained=str(tmp_path / "none")).load_pretrained()
    CLIPVisionModel(CLIPVisionConfig(**CLIP)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"lacks 1 weights \(visual_projection.weight\)"):
        CLIPVisual(config=CLIP, pretrained=str(tmp_path)).load_pretrained()
    with pytest.raises(ValueError, match="does not fit"):
        CLIPVisual(config={**CLIP, "hidden_size": 64}, output="patches", pretrained=str(tmp_path)).load_pretrained()
    with pytest.raises(ValueError, match="layer -4 does not exist"):
        CLIPVisual(config=CLIP, output="patches", layer=-4)
    with pytest.raises(ValueError, match="output: patches"):
        CLIPVisual(config=CLIP, layer=-2)


def test_large_clip_on_the_meta_device():
    with torch.device("meta"):
        encoder = CLIPVisual("vit_large_patch14_336", output="patches", layer=-2)
        assert encoder(torch.empty(1, 2, 3, 336, 336, dtype=torch.uint8)).x.shape == (1, 2 * 576, 1024)
        assert CLIPVisual()(torch.empty(2, 20, 3, 224, 224, dtype=torch.uint8)).x.shape == (2, 20, 768)
        assert TimmVisual(**VIT)(torch.empty(2, 3, 3, 40, 40)).x.shape == (2, 3, 24)


def test_timm_weights_load_from_a_file_strictly(tmp_path):
    torch.manual_seed(0)
    source = TimmVisual(**VIT)
    state = source.backbone.state_dict()
    file = tmp_path / "vit.safetensors"
    save_file({**state, "head.weight": torch.zeros(10, 24), "head.bias": torch.zeros(10)}, file)
    encoder = TimmVisual(**VIT, pretrained=str(file))
    encoder.load_pretrained()
    torch.testing.assert_close(encoder.eval()(frames()).x, source.eval()(frames()).x)
    save_file({key: value for key, value in state.items() if key != "norm.weight"}, file)
    with pytest.raises(ValueError, match=r"norm\.weight"):
        encoder.load_pretrained()
    with pytest.raises(FileNotFoundError, match="pretrained: timm"):
        TimmVisual(**VIT, pretrained=str(tmp_path / "absent.pth")).load_pretrained()


@pytest.mark.parametrize("build", [lambda: TimmVisual(**VIT), lambda: CLIPVisual(config=CLIP), PrecomputedVisual])
def test_encoders_can_be_pickled(build):
    assert isinstance(pickle.loads(pickle.dumps(build())), build().__class__)
