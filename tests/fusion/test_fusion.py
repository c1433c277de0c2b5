"""What holds for every fusion: shapes, masks, absent streams, unequal widths, gradients."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

import avcap.fusion
from avcap.fusion import (
    AudioOnly,
    ChannelConcat,
    CrossAttention,
    Fusion,
    OTAttention,
    OTChannelConcat,
    OTCrossAttention,
    OTTimeConcat,
    TimeConcat,
    TransportAdd,
    VideoOnly,
)
from avcap.layers.placement import frame_rows
from avcap.types import FusionOutput, Tokens

B, NA, NV, CA, CV = 4, 12, 5, 16, 8
TIME, CHANNEL = (TimeConcat, OTTimeConcat, OTAttention, TransportAdd), (ChannelConcat, OTChannelConcat)
ATTENTION = (CrossAttention, OTCrossAttention)
TRANSPORT = (OTTimeConcat, OTAttention, OTChannelConcat, OTCrossAttention)
BOTH = TIME + CHANNEL + ATTENTION
ALL = (*BOTH, AudioOnly, VideoOnly)
every = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
every_pair = pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.__name__)
every_transport = pytest.mark.parametrize("kind", TRANSPORT, ids=lambda kind: kind.__name__)


def build(kind: type[Fusion], visual: int = CV) -> Fusion:
    torch.manual_seed(0)
    return kind(CA, visual, **({"heads": 2} if kind in ATTENTION else {}))


def make(visual: int = CV, seed: int = 1) -> tuple[Tokens, Tokens]:
    generator = torch.Generator().manual_seed(seed)
    return (
        Tokens(torch.randn(B, NA, CA, generator=generator)),
        Tokens(torch.randn(B, NV, visual, generator=generator)),
    )


def full(tokens: Tokens) -> Tokens:
    return Tokens(tokens.x, tokens.full_mask())


def test_the_package_exports_every_strategy_with_a_summary() -> None:
    exported = {thing for thing in vars(avcap.fusion).values() if inspect.isclass(thing)}
    concrete = {kind for kind in exported if not inspect.isabstract(kind)}
    assert concrete >= set(ALL)
    assert all(issubclass(kind, Fusion) and len(kind.__doc__.splitlines()[0]) > 20 for kind in concrete)


@every
@pytest.mark.parametrize("visual", [CA, CV])
def test_width_and_lengths(kind: type[Fusion], visual: int) -> None:
    fusion = build(kind, visual)
    out = fusion(*make(visual))
    length = {**dict.fromkeys(TIME, NA + NV), VideoOnly: NV}.get(kind, NA)
    assert out.tokens.x.shape == (B, length, fusion.width)
    assert out.tokens.mask is None
    for found in out.maps.values():
        assert found.plan.shape == (B, NV, NA)
        assert not found.plan.requires_grad


@every
def test_times_go_with_the_tokens(kind: type[Fusion]) -> None:
    audio, video = make()
    when, seen = torch.rand(B, NA), torch.rand(B, NV)
    out = build(kind).eval()(audio._replace(time=when), video._replace(time=seen))
    expected = {**dict.fromkeys(TIME, torch.cat([when, seen], dim=1)), VideoOnly: seen}.get(kind, when)
    assert torch.equal(out.tokens.time, expected)
    for found in out.maps.values():
        assert torch.equal(found.visual_time, seen)
        assert torch.equal(found.audio_time, when)


@every_pair
def test_a_clip_without_sound_has_the_times_of_its_frames(kind: type[Fusion]) -> None:
    audio, video = make()
    mask = torch.arange(B)[:, None].expand(-1, NA) > 0  # the first clip is silent
    when, seen = torch.rand(B, NA), torch.rand(B, NV)
    out = build(kind).eval()(Tokens(audio.x, mask, when), Tokens(video.x, None, seen)).tokens
    real = out.time[0][out.mask[0]]
    assert torch.equal(real, when[0, frame_rows(NV, NA)] if kind in CHANNEL else seen[0])
    alone = build(kind).eval()(None, Tokens(video.x, None, seen)).tokens
    assert torch.equal(alone.time, seen)


@every_pair
def test_linear_layer_only_where_widths_differ(kind: type[Fusion]) -> None:
    assert isinstance(build(kind, CA).visual_projection, nn.Identity)
    assert isinstance(build(kind, CV).visual_projection, nn.Identity if kind is ChannelConcat else nn.Linear)


@every
def test_all_true_masks_change_nothing(kind: type[Fusion]) -> None:
    fusion, (audio, video) = build(kind).eval(), make()
    free, masked = fusion(audio, video), fusion(full(audio), full(video))
    assert masked.tokens.mask is not None
    torch.testing.assert_close(masked.tokens.x[:, : free.tokens.x.shape[1]], free.tokens.x)
    assert masked.tokens.mask[:, : free.tokens.x.shape[1]].all()
    for name, loss in free.losses.items():
        torch.testing.assert_close(masked.losses[name], loss)


@every_pair
def test_padding_holds_garbage_without_effect(kind: type[Fusion]) -> None:
    fusion, (audio, video) = build(kind).eval(), make()
    audio_mask, video_mask = audio.full_mask(), video.full_mask()
    audio_mask[1, 7:], audio_mask[2, 3:], video_mask[0, 2:], video_mask[2, 4:] = False, False, False, False
    clean = fusion(Tokens(audio.x, audio_mask), Tokens(video.x, video_mask))
    dirty = fusion(
        Tokens(audio.x.masked_fill(~audio_mask.unsqueeze(-1), torch.nan), audio_mask),
        Tokens(video.x.masked_fill(~video_mask.unsqueeze(-1), torch.nan), video_mask),
    )
    assert torch.equal(clean.tokens.mask, dirty.tokens.mask)
    real = clean.tokens.mask.unsqueeze(-1)
    assert torch.equal(clean.tokens.x.masked_fill(~real, 0), dirty.tokens.x.masked_fill(~real, 0))
    assert all(torch.equal(clean.losses[name], dirty.losses[name]) for name in clean.losses)
    assert all(torch.isfinite(found.plan).all() for found in dirty.maps.values())


@pytest.mark.parametrize("kind", TIME + ATTENTION, ids=lambda kind: kind.__name__)
def test_padded_clip_equals_the_clip_alone(kind: type[Fusion]) -> None:
    fusion, (audio, video) = build(kind).eval(), make()
    audio_mask, video_mask = audio.full_mask(), video.full_mask()
    audio_mask[:, 9:], video_mask[:, 3:] = False, False
    padded = fusion(Tokens(audio.x, audio_mask), Tokens(video.x, video_mask))
    alone = fusion(Tokens(audio.x[:, :9]), Tokens(video.x[:, :3]))
    kept = padded.tokens.x[padded.tokens.mask].view(B, -1, fusion.width)
    torch.testing.assert_close(kept, alone.tokens.x, rtol=1e-5, atol=1e-5)
    for name, loss in alone.losses.items():
        torch.testing.assert_close(padded.losses[name], loss, rtol=1e-4, atol=1e-5)


def trainable_gradients_are_finite(fusion: Fusion, out: FusionOutput) -> None:
    real = out.tokens.full_mask().unsqueeze(-1)
    (out.tokens.x.masked_fill(~real, 0).square().sum() + sum(out.losses.values())).backward()
    for name, parameter in fusion.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


@every_pair
@pytest.mark.parametrize("absent", ["audio", "video"])
def test_clips_that_lack_a_stream_get_the_other(kind: type[Fusion], absent: str) -> None:
    fusion, (audio, video) = build(kind), make()
    masks = {"audio": audio.full_mask(), "video": video.full_mask()}
    masks[absent][1] = False
    audio_x, video_x = audio.x.clone().requires_grad_(), video.x.clone().requires_grad_()
    out = fusion(Tokens(audio_x, masks["audio"]), Tokens(video_x, masks["video"]))
    real = out.tokens.mask[1]
    assert real.sum() == (NV if absent == "audio" else NA)
    present = fusion.visual_projection(video_x[1]) if absent == "audio" else audio_x[1]
    if kind in TRANSPORT:
        present = nn.functional.normalize(present, dim=-1)
    kept = out.tokens.x[1][real]
    if kind in CHANNEL:
        kept = kept[:, CA:] if absent == "audio" else kept[:, :CA]
    torch.testing.assert_close(kept, present, rtol=1e-5, atol=1e-6)
    trainable_gradients_are_finite(fusion, out)
    assert torch.isfinite(audio_x.grad).all()
    assert torch.isfinite(video_x.grad).all()
    assert (audio_x if absent == "audio" else video_x).grad[1].eq(0).all()


@every_transport
def test_losses_are_those_of_the_complete_clips(kind: type[Fusion]) -> None:
    fusion, (audio, video) = build(kind), make()
    mask = video.full_mask()
    mask[2] = False
    losses = fusion(audio, Tokens(video.x, mask)).losses
    rest = fusion(Tokens(audio.x[[0, 1, 3]]), Tokens(video.x[[0, 1, 3]])).losses
    assert set(losses) == {"ot_visual", "ot_audio"}
    for name, loss in losses.items():
        torch.testing.assert_close(loss, rest[name])


@every_pair
@pytest.mark.parametrize("absent", ["audio", "video"])
def test_a_batch_that_lacks_a_stream_gets_the_other(kind: type[Fusion], absent: str) -> None:
    fusion, (audio, video) = build(kind), make()
    out = fusion(None, video) if absent == "audio" else fusion(audio, None)
    assert out.tokens.x.shape == (B, NV if absent == "audio" else NA, fusion.width)
    assert out.tokens.full_mask().all()
    assert all(loss.item() == 0 for loss in out.losses.values())
    if fusion_parameters := dict(fusion.named_parameters()):
        trainable_gradients_are_finite(fusion, out)
        for name, parameter in fusion_parameters.items():  # a distributed backward wants every parameter used
            assert parameter.grad is not None, name


@every
def test_gradient_reaches_every_parameter_and_input(kind: type[Fusion]) -> None:
    fusion, (audio, video) = build(kind), make()
    inputs = {"audio": audio.x.requires_grad_(), "video": video.x.requires_grad_()}
    out = fusion(Tokens(inputs["audio"]), Tokens(inputs["video"]))
    (out.tokens.x * torch.randn_like(out.tokens.x)).sum().add(sum(out.losses.values())).backward()
    for name, parameter in fusion.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    for stream in fusion.streams:
        assert inputs[stream].grad.abs().sum() > 0


@every_transport
def test_zero_vectors_stay_finite(kind: type[Fusion]) -> None:
    fusion, (audio, video) = build(kind, CA), make(CA)
    x = audio.x.clone()
    x[0] = 0
    x.requires_grad_()
    out = fusion(Tokens(x), video)
    assert torch.isfinite(out.tokens.x).all()
    trainable_gradients_are_finite(fusion, out)
    assert torch.isfinite(x.grad).all()


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_tokens_keep_the_number_format_of_the_model(kind: type[Fusion], dtype: torch.dtype) -> None:
    fusion, (audio, video) = build(kind).to(dtype).eval(), make()
    out = fusion(Tokens(audio.x.to(dtype)), Tokens(video.x.to(dtype)))
    assert out.tokens.x.dtype == dtype
    if kind in TRANSPORT:
        assert out.maps["plan"].plan.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@every_transport
def test_plan_and_losses_are_full_precision_under_autocast(kind: type[Fusion]) -> None:
    fusion, (audio, video) = build(kind, CA).eval(), make(CA)
    plain = fusion(audio, video)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = fusion(audio, video)
    assert torch.equal(under.maps["plan"].plan, plain.maps["plan"].plan)
    assert all(torch.equal(under.losses[name], plain.losses[name]) for name in plain.losses)


@every
def test_builds_and_runs_on_the_meta_device(kind: type[Fusion]) -> None:
    with torch.device("meta"):
        fusion = kind(CA, CV, **({"heads": 2} if kind in ATTENTION else {}))
        audio = Tokens(torch.empty(B, NA, CA), torch.ones(B, NA, dtype=torch.bool))
        video = Tokens(torch.empty(B, NV, CV), torch.ones(B, NV, dtype=torch.bool))
    assert fusion(audio, video).tokens.x.shape[2] == fusion.width


@every_transport
def test_transport_loss_can_be_switched_off(kind: type[Fusion]) -> None:
    settings = {"heads": 2} if kind in ATTENTION else {}
    fusion = kind(CA, CV, loss_weight=0.0, **settings)
    out = fusion(*make())
    assert out.losses == {}
    assert out.maps["plan"].plan.sum() == pytest.approx(B)


def test_rescaled_attention_adds_means_of_the_other_stream() -> None:
    audio, video = make(CA)
    raw, rescaled = OTAttention(CA, CA), OTAttention(CA, CA, rescale=True)
    a, v = nn.functional.normalize(audio.x, dim=-1), nn.functional.normalize(video.x, dim=-1)
    base = torch.cat([a, v], dim=1)
    added, mean = raw(audio, video).tokens.x - base, rescaled(audio, video).tokens.x - base
    torch.testing.assert_close(added[:, :NA] * NA, mean[:, :NA], rtol=1e-4, atol=1e-5)  # audio marginals are exact
    plan = raw(audio, video).maps["plan"].plan
    torch.testing.assert_close(mean[:, NA:], (plan @ a) / plan.sum(2, keepdim=True), rtol=1e-4, atol=1e-5)


def test_autodiff_lets_the_plan_learn() -> None:
    audio, video = make(CA)
    gradients = []
    for grad in ("detach", "autodiff"):
        x = audio.x.clone().requires_grad_()
        OTAttention(CA, CA, grad=grad, loss_weight=0.0, rescale=True)(Tokens(x), video).tokens.x.pow(3).sum().backward()
        gradients.append(x.grad)
    assert not torch.allclose(gradients[0], gradients[1])
    assert torch.isfinite(gradients[1]).all()


def test_cross_attention_map_holds_the_weights() -> None:
    fusion = build(CrossAttention)
    assert fusion(*make()).maps == {}
    attention = fusion.eval()(*make()).maps["attention"].plan
    torch.testing.assert_close(attention.sum(1), torch.ones(B, NA))


@every_pair
def test_a_missing_encoder_is_named(kind: type[Fusion]) -> None:
    with pytest.raises(ValueError, match=f"{kind.__name__} fuses audio and video, but there is no audio encoder"):
        kind(None, CV)
    with pytest.raises(ValueError, match=r"there is no video encoder; add one .* or choose AudioOnly"):
        kind(CA, None)


def test_single_streams_need_their_own_encoder_only() -> None:
    assert (AudioOnly(CA, None).width, AudioOnly.streams) == (CA, ("audio",))
    assert (VideoOnly(None, CV).width, VideoOnly.streams) == (CV, ("video",))
    audio, video = make()
    assert AudioOnly(CA, None)(audio, None).tokens is audio
    assert VideoOnly(None, CV)(None, video).tokens is video
    for build_wrong in (lambda: AudioOnly(None, CV), lambda: VideoOnly(CA, None)):
        with pytest.raises(ValueError, match="there is no"):
            build_wrong()
    with pytest.raises(ValueError, match="AudioOnly got a batch without audio"):
        AudioOnly(CA, CV)(None, video)
    with pytest.raises(ValueError, match="VideoOnly got a batch without video"):
        VideoOnly(CA, CV)(audio, None)


@every_pair
def test_no_stream_and_wrong_widths_are_named(kind: type[Fusion]) -> None:
    fusion, (audio, _) = build(kind), make()
    with pytest.raises(ValueError, match="got neither audio nor visual tokens"):
        fusion(None, None)
    with pytest.raises(ValueError, match=rf"built for video tokens of width {CV}, got \[{B}, {NA}, {CA}\]"):
        fusion(audio, audio)
