"""The projection of LLaVA for the tokens of both streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import LlavaForConditionalGeneration

from avcap.checkpoints.state import reloadable
from avcap.fusion import LlavaProjection
from avcap.types import Tokens
from tests.llava_parts import VISION_WIDTH, WIDTH, save_llava, settings

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def original(model: Path) -> nn.Module:
    return LlavaForConditionalGeneration.from_pretrained(model).multi_modal_projector


def loaded(
    model: Path, audio: int | None = VISION_WIDTH, visual: int | None = VISION_WIDTH, **more: Any
) -> LlavaProjection:
    fusion = LlavaProjection(audio, visual, model=str(model), **more)
    fusion.load_pretrained()
    return fusion


def streams() -> tuple[Tokens, Tokens]:
    """Five audio and three image tokens of two clips; the second clip has no picture, the first a hole in its sound."""
    generator = torch.Generator().manual_seed(0)
    audio = Tokens(torch.randn(2, 5, VISION_WIDTH, generator=generator), torch.ones(2, 5, dtype=torch.bool))
    image = Tokens(torch.randn(2, 3, VISION_WIDTH, generator=generator), torch.tensor([[True] * 3, [False] * 3]))
    audio.mask[0, 4] = False
    return audio, image


@pytest.mark.parametrize("audio_projector", ["shared", "copy"])
def test_both_streams_go_through_the_projector_image_first(model: Path, original: nn.Module, audio_projector: str):
    audio, image = streams()
    out = loaded(model, audio_projector=audio_projector)(audio, image)
    assert (out.losses, out.maps) == ({}, {})
    torch.testing.assert_close(out.tokens.x, torch.cat([original(image.x), original(audio.x)], dim=1), **CLOSE)
    assert torch.equal(out.tokens.mask, torch.cat([image.mask, audio.mask], dim=1))


def test_one_stream_alone_goes_as_it_comes(model: Path, original: nn.Module):
    audio, image = streams()
    for fusion in (loaded(model), loaded(model, visual=None)):
        assert fusion.width == WIDTH
        torch.testing.assert_close(fusion(audio, None).tokens.x, original(audio.x), **CLOSE)
    alone = loaded(model, audio=None)(None, Tokens(image.x)).tokens
    torch.testing.assert_close(alone.x, original(image.x), **CLOSE)
    assert alone.mask is None
    with pytest.raises(ValueError, match="neither audio nor visual tokens"):
        loaded(model)(None, None)


def test_a_copy_is_trained_by_itself(model: Path, original: nn.Module):
    fusion = loaded(model, audio_projector="copy").train()
    optimizer = torch.optim.SGD([p for p in fusion.parameters() if p.requires_grad], lr=0.1)
    audio, image = streams()
    fusion(audio, image).tokens.x.square().mean().backward()
    optimizer.step()
    projected = fusion(audio, image).tokens.x
    assert torch.equal(projected[:, :3], original(image.x))
    assert (projected[:, 3:] - original(audio.x)).abs().amax() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "trained"),
    [
        ({}, set()),
        ({"frozen": False}, {"image_projector"}),
        ({"audio_projector": "copy"}, {"audio_projector"}),
        ({"audio_projector": "copy", "train_audio": False}, set()),
        ({"audio_projector": "copy", "frozen": False}, {"image_projector", "audio_projector"}),
    ],
)
def test_what_is_trained(model: Path, arguments: dict, trained: set[str]):
    built = LlavaProjection(VISION_WIDTH, None, config=settings(), **arguments)
    for fusion in (loaded(model, **arguments), built):
        assert {name.split(".")[0] for name, p in fusion.named_parameters() if p.requires_grad} == trained


def test_a_trained_audio_projector_is_read(model: Path, original: nn.Module, tmp_path: Path):
    other = {name: torch.randn_like(value) for name, value in original.state_dict().items()}
    save_file(other, tmp_path / "audio.safetensors")
    arguments = {"audio_projector": "copy", "pretrained_audio": str(tmp_path / "audio.safetensors")}
    random = LlavaProjection(VISION_WIDTH, None, config=settings(), **arguments)
    assert random.pretrained == str(tmp_path / "audio.safetensors")
    random.load_pretrained()
    for fusion in (loaded(model, **arguments), random):
        assert all(torch.equal(value, other[name]) for name, value in fusion.audio_projector.state_dict().items())
    for name, value in loaded(model, **arguments).image_projector.state_dict().items():
        assert torch.equal(value, original.state_dict()[name])


def test_a_random_copy_starts_as_the_image_projector():
    fusion = LlavaProjection(VISION_WIDTH, None, config=settings(), audio_projector="copy")
    assert fusion.pretrained is None
    own = fusion.audio_projector.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in fusion.image_projector.state_dict().items())


def test_a_checkpoint_holds_what_no_file_holds(model: Path, tmp_path: Path):
    def saved(**arguments: Any) -> set[str]:
        whole = nn.Module()
        whole.fusion = LlavaProjection(VISION_WIDTH, None, **arguments)
        return {name.split(".")[1] for name in whole.state_dict().keys() - reloadable(whole, ["fusion"])}

    copy = {"audio_projector": "copy"}
    file = {**copy, "train_audio": False, "pretrained_audio": str(tmp_path / "audio.safetensors")}
    assert saved(model=str(model)) == set()
    assert saved(model=str(model), **copy) == {"audio_projector"}
    assert saved(model=str(model), **file) == set()
    assert saved(config=settings()) == {"image_projector"}
    assert saved(config=settings(), **file) == {"image_projector"}


def test_weights_come_with_the_named_step_alone(model: Path):
    fusion = LlavaProjection(VISION_WIDTH, None, model=str(model), audio_projector="copy")
    assert fusion.image_projector.linear_1.weight.is_meta
    with pytest.raises(ValueError, match=r"are not loaded; call load_pretrained\(\) first"):
        LlavaProjection(VISION_WIDTH, None, model=str(model))(streams()[0], None)
    fusion.load_pretrained()
    with torch.no_grad():
        fusion.audio_projector.linear_1.weight.fill_(1.0)
    fusion.load_pretrained()  # a second time changes nothing that was trained
    assert (fusion.audio_projector.linear_1.weight == 1.0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"No LLaVA model: set fusion\.model"),
        (
            {"config": settings(), "pretrained_audio": "a.safetensors"},
            r"pretrained_audio is for a projector of its own",
        ),
        ({"config": {"model_type": "llava", "text_config": {}}}, r"fusion\.config has no vision_config; add it"),
    ],
)
def test_mistakes_are_told_in_one_sentence(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        LlavaProjection(VISION_WIDTH, VISION_WIDTH, **arguments)


@pytest.mark.parametrize(("audio", "visual", "stream"), [(8, VISION_WIDTH, "audio"), (VISION_WIDTH, 8, "visual")])
def test_another_width_is_refused(audio: int, visual: int, stream: str):
    message = rf"LLaVA's vision width, {VISION_WIDTH}, but the {stream} encoder gives 8; set the width of the {stream}"
    with pytest.raises(ValueError, match=message):
        LlavaProjection(audio, visual, config=settings())
    with pytest.raises(ValueError, match="neither an audio nor a visual encoder"):
        LlavaProjection(None, None, config=settings())


def test_a_projector_of_another_size_is_refused(model: Path):
    text = settings()["text_config"] | {"hidden_size": 16}
    fusion = LlavaProjection(VISION_WIDTH, None, model=str(model), config=settings(text_config=text))
    with pytest.raises(ValueError, match=r"does not fit fusion\.config \(.*linear_1\.weight.*leave fusion\.config out"):
        fusion.load_pretrained()
