"""Concatenation with joint layers: which norms a clip sees, masks, widths, loading."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from avcap.fusion import TimeConcat, TokenConcat
from avcap.types import Tokens

WIDTH = 32


def fusion(audio: int | None = WIDTH, visual: int | None = WIDTH, **settings: object) -> TokenConcat:
    torch.manual_seed(0)
    made = TokenConcat(audio, visual, **{"joint_depth": 2, "heads": 4, **settings}).eval()
    for module in made.modules():  # norms apart from each other, so that a wrong choice shows
        if isinstance(module, nn.LayerNorm):
            nn.init.normal_(module.weight, mean=1.0, std=0.3)
            nn.init.normal_(module.bias, std=0.3)
    return made


def tokens(count: int, width: int = WIDTH, batch: int = 3, mask: list[list[int]] | None = None) -> Tokens:
    return Tokens(torch.randn(batch, count, width), None if mask is None else torch.tensor(mask).bool())


@torch.no_grad()
def test_without_layers_it_is_plain_concatenation() -> None:
    plain = fusion(joint_depth=0, final_norm=False)
    audio, video = tokens(5), tokens(4)
    ours, reference = plain(audio, video), TimeConcat(WIDTH, WIDTH)(audio, video)
    assert torch.equal(ours.tokens.x, reference.tokens.x)
    assert ours.tokens.mask is None
    assert ours.losses == {}
    assert ours.maps == {}


@torch.no_grad()
def test_each_clip_goes_through_the_norms_of_the_streams_it_has() -> None:
    model = fusion()
    audio = tokens(5, mask=[[1] * 5, [1] * 5, [0] * 5])
    video = tokens(4, mask=[[1] * 4, [0] * 4, [1] * 4])
    mixed = model(audio, video).tokens
    both = model(Tokens(audio.x[:1]), Tokens(video.x[:1])).tokens.x
    heard = model(Tokens(audio.x[1:2]), None).tokens.x
    seen = model(None, Tokens(video.x[2:])).tokens.x
    torch.testing.assert_close(mixed.x[:1], both, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(mixed.x[1:2, :5], heard, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(mixed.x[2:, 5:], seen, atol=1e-5, rtol=1e-4)
    assert mixed.mask.sum(1).tolist() == [9, 5, 4]


@torch.no_grad()
def test_content_of_padding_changes_nothing_not_even_nan() -> None:
    model = fusion(visual=24)
    mask = [[1, 1, 1, 0, 0], [1] * 5, [1, 0, 0, 0, 0]]
    audio, video = tokens(5, mask=mask), tokens(4, 24, mask=[[1] * 4, [1, 1, 0, 0], [0] * 4])
    first = model(audio, video).tokens
    spoilt = [t._replace(x=t.x.masked_fill(~t.mask.unsqueeze(-1), float("nan"))) for t in (audio, video)]
    second = model(*spoilt).tokens
    assert torch.equal(first.x[first.mask], second.x[second.mask])
    cut = model(Tokens(audio.x[:1, :3]), Tokens(video.x[:1])).tokens.x
    torch.testing.assert_close(first.x[:1][first.mask[:1]], cut[0], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_full_masks_and_training_mode_give_the_same_tokens() -> None:
    model = fusion()
    audio, video = tokens(5), tokens(4)
    plain = model(audio, video).tokens.x
    masked = model(Tokens(audio.x, audio.full_mask()), Tokens(video.x, video.full_mask())).tokens
    assert torch.equal(masked.x, plain)
    torch.testing.assert_close(model.train()(audio, video).tokens.x, plain, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("present", ["both", "audio", "video"])
def test_every_weight_has_a_gradient_whatever_the_batch_holds(present: str) -> None:
    model = fusion().train()
    audio, video = tokens(5), tokens(4)
    out = model(None if present == "video" else audio, None if present == "audio" else video)
    out.tokens.x.square().sum().backward()
    assert all(p.grad is not None for p in model.joint.parameters())
    used = {"both": "joint", "audio": "audio", "video": "video"}[present]
    for name, norm in model.joint.norm.named_children():
        assert bool(norm.weight.grad.abs().sum() > 0) == (name == used)


def test_widths_are_brought_together() -> None:
    assert fusion(32, 24).width == 32
    assert isinstance(fusion().visual_projection, nn.Identity)
    wide = fusion(32, 24, width=40)
    assert wide(tokens(5), tokens(4, 24)).tokens.x.shape == (3, 9, 40)
    assert isinstance(wide.audio_projection, nn.Linear)


def test_one_encoder_is_enough() -> None:
    heard, seen = fusion(32, None), fusion(None, 24)
    assert heard(tokens(5), None).tokens.x.shape == (3, 5, 32)
    assert (seen.width, seen(None, tokens(4, 24)).tokens.x.shape) == (24, (3, 4, 24))
    with pytest.raises(ValueError, match="neither an audio nor a visual encoder"):
        fusion(None, None)


def test_loading_fills_the_joint_layers_alone(tmp_path: Path) -> None:
    source, path = fusion(), tmp_path / "joint.safetensors"
    save_file({f"joint.{k}": v.contiguous() for k, v in source.joint.state_dict().items()}, path)
    other = fusion(visual=24, pretrained=str(path), frozen=True)
    other.load_pretrained()
    assert all(torch.equal(v, other.joint.state_dict()[k]) for k, v in source.joint.state_dict().items())
    assert {n for n, p in other.named_parameters() if p.requires_grad} == {
        "visual_projection.weight",
        "visual_projection.bias",
    }
    with pytest.raises(ValueError, match="holds 2 blocks for TokenConcat, which has 6; set joint_depth: 2"):
        fusion(joint_depth=6, pretrained=str(path)).load_pretrained()


def test_wrong_input_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="visual tokens of width 32"):
        fusion()(tokens(5), tokens(4, 24))
    with pytest.raises(ValueError, match="neither audio nor visual tokens"):
        fusion()(None, None)
    with pytest.raises(ValueError, match="no multiple of heads"):
        fusion(heads=5)


def test_it_builds_and_runs_without_memory() -> None:
    with torch.device("meta"):
        model = TokenConcat(768, 768, joint_depth=6)
        mask = torch.ones(2, 512, dtype=torch.bool)
        out = model(Tokens(torch.empty(2, 512, 768), mask), Tokens(torch.empty(2, 196, 768)))
    assert out.tokens.x.shape == (2, 708, 768)


def test_nan_in_padding_reaches_no_gradient() -> None:
    model = fusion(visual=24).train()
    video = tokens(4, 24, mask=[[1] * 4, [1, 1, 0, 0], [0] * 4])
    spoilt = video._replace(x=video.x.masked_fill(~video.mask.unsqueeze(-1), float("nan")))
    out = model(tokens(5), spoilt).tokens
    out.x[out.mask].square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_times_go_through_projection_and_joint_layers() -> None:
    when, seen = torch.rand(2, 3), torch.rand(2, 4)
    fusion = TokenConcat(16, 8, heads=2, joint_depth=1)
    out = fusion(Tokens(torch.randn(2, 3, 16), None, when), Tokens(torch.randn(2, 4, 8), None, seen))
    assert torch.equal(out.tokens.time, torch.cat([when, seen], dim=1))
