"""The vision tower of LLaVA: pixel values and tokens of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import CLIPImageProcessor, LlavaForConditionalGeneration

from avcap.encoders import LlavaVision
from avcap.encoders.llava_vision import LlavaImages
from tests.llava_parts import IMAGE, PATCHES, VISION_WIDTH, frames, save_llava, settings, vision_settings

LEVEL = 1 / 255 / 0.2613  # one of 256 levels in pixel values, of the channel with the smallest deviation


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llava(tmp_path_factory.mktemp("llava"))


def loaded(model: Path, **more: Any) -> LlavaVision:
    encoder = LlavaVision(model=str(model), **more)
    encoder.load_pretrained()
    return encoder


def processed(pictures: Tensor, size: int) -> Tensor:
    """Pixel values ``[B, 3, S, S]`` of LLaVA-1.5's image processor."""
    processor = CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    return processor([p.permute(1, 2, 0).numpy() for p in pictures], return_tensors="pt")["pixel_values"]


def smooth(height: int, width: int) -> Tensor:
    """A picture ``[1, 3, H, W]`` of waves."""
    rows, columns = torch.linspace(0, 6, height)[:, None], torch.linspace(0, 9, width)
    channels = [(rows + k * columns).sin() for k in (0.3, 0.7, 1.1)]
    return (127.5 + 127.5 * torch.stack(channels)).to(torch.uint8)[None]


# -- pixels -------------------------------------------------------------------------------------------------------


def test_pixel_values_of_every_level_are_exact():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, -1, -1)
    assert torch.equal(LlavaImages(IMAGE)(levels[None]), processed(levels, IMAGE))


@pytest.mark.parametrize("shape", [(64, 64), (40, 60), (61, 45), (24, 24)])
def test_other_sizes_are_resized_and_cropped_within_a_level(shape: tuple[int, int]):
    """PIL's weights are integers: fewer than one value in a hundred rounds the other way, by one level."""
    noise = torch.randint(0, 256, (1, 3, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for picture in (smooth(*shape), noise):
        difference = (LlavaImages(32)(picture[None]) - processed(picture, 32)).abs()
        assert difference.max() < 1.01 * LEVEL
        assert (difference > 1e-5).float().mean() < 0.01


def test_frames_that_are_no_pictures_are_refused(model: Path):
    with pytest.raises(ValueError, match=r"must be \[batch, frames, 3, height, width\]"):
        loaded(model)(torch.zeros(2, 3, IMAGE, IMAGE))


# -- tokens -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "index"), [(None, -2), (-1, -1), (1, 1), (0, 0), (-4, 0)])
@pytest.mark.parametrize("select", [None, "full"])
def test_tokens_are_the_hidden_states_of_transformers(model: Path, layer: int | None, index: int, select: str | None):
    whole = LlavaForConditionalGeneration.from_pretrained(model).eval()
    with torch.no_grad():
        states = whole.vision_tower(processed(frames()[:, 0], IMAGE), output_hidden_states=True).hidden_states
    encoder = loaded(model, layer=layer, select=select)
    assert len(encoder.backbone.vision_model.encoder.layers) == index % 4
    tokens = encoder(frames()).x
    torch.testing.assert_close(tokens, states[index] if select else states[index][:, 1:], atol=1e-5, rtol=1e-5)


def test_frames_follow_one_another_and_padding_is_masked(model: Path):
    encoder = loaded(model)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    several = frames(2, 3)
    tokens = encoder(several, mask)
    assert (encoder.width, tokens.x.shape) == (VISION_WIDTH, (2, 3 * PATCHES, VISION_WIDTH))
    torch.testing.assert_close(tokens.x[:, PATCHES : 2 * PATCHES], encoder(several[:, 1:2]).x, atol=1e-5, rtol=1e-5)
    assert torch.equal(tokens.mask, mask.repeat_interleave(PATCHES, dim=1))
    assert encoder.input_shape(3) == (3, 3, IMAGE, IMAGE)


def test_a_number_format_may_be_chosen(model: Path):
    tokens = loaded(model, dtype="bfloat16")(frames()).x
    assert tokens.dtype == torch.bfloat16
    exact = loaded(model)(frames()).x
    assert (tokens.float() - exact).abs().mean() < 0.05 * exact.abs().mean()


# -- training and weights -----------------------------------------------------------------------------------------


def test_frozen_by_default_trainable_on_demand(model: Path):
    encoder = loaded(model).train()
    assert not encoder.backbone.training
    assert not encoder(frames()).x.requires_grad
    torch.manual_seed(0)
    trained = LlavaVision(config=settings(text_config={}), frozen=False).train()
    trained(frames()).x.square().mean().backward()
    assert all(parameter.grad is not None for parameter in trained.parameters())  # nothing is built that is not read


def test_weights_come_with_the_named_step_alone_and_once(model: Path):
    encoder = LlavaVision(model=str(model))
    assert encoder.pretrained == str(model)
    assert all(parameter.is_meta for parameter in encoder.parameters())
    encoder.load_pretrained()
    tower = encoder.backbone
    encoder.load_pretrained()
    assert encoder.backbone is tower
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_only_the_files_that_hold_the_tower_are_read(tmp_path: Path):
    save_llava(tmp_path, max_shard_size="20KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    mine = {file for name, file in index.items() if name.startswith("vision_tower.")}
    others = set(index.values()) - mine
    assert len(mine) > 1
    assert others
    for file in others:
        (tmp_path / file).unlink()
    assert torch.isfinite(loaded(tmp_path)(frames()).x).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"No LLaVA model: set visual_encoder\.model \(pretrained\) or visual_encoder\.config"),
        ({"model": "no/such/folder"}, r"visual_encoder\.model: no LLaVA model .* was found at 'no/such/folder'"),
        ({"config": Path("absent.json")}, r"visual_encoder\.config: there is no file absent\.json"),
        ({"config": {"model_type": "llava", "text_config": {}}}, r"visual_encoder\.config has no vision_config"),
        ({"config": settings(), "layer": 4}, r"vision_feature_layer is 4; LlavaVision reads one layer, from -4 to 3"),
        ({"config": settings(vision_feature_layer=[-2, -1])}, r"vision_feature_layer is \[-2, -1\]"),
        ({"config": settings(vision_config={"model_type": "siglip_vision_model"})}, r"CLIP towers, not siglip_vision"),
    ],
)
def test_mistakes_are_told_in_one_sentence(arguments: dict, message: str):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        LlavaVision(**arguments)


def test_a_model_of_another_size_or_without_a_tower_is_refused(model: Path, tmp_path: Path):
    deeper = vision_settings() | {"num_hidden_layers": 6}
    encoder = LlavaVision(model=str(model), config=settings(vision_config=deeper))
    with pytest.raises(ValueError, match=r"lacks 32 weights \(vision_model\.encoder\.layers\.3"):
        encoder.load_pretrained()
    (tmp_path / "config.json").write_text((model / "config.json").read_text())
    encoder = LlavaVision(model=str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no LLaVA model with safetensors weights"):
        encoder.load_pretrained()
