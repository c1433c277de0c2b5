"""The CAV-MAE encoders beside their parity: several frames, masks, freezing, sizes, messages."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from avcap.encoders import CAVMAEAudio, CAVMAEVisual
from avcap.layers.lora import LoRA
from avcap.layers.positions import resample_steps, sincos_grid
from avcap.layers.vit import ViTSize
from tests.encoders.sizes import arguments

SMALL = {"width": 48, "depth": 2, "heads": 4}
IMAGE = 48  # 3 x 3 patches


def audio_encoder(**settings: object) -> CAVMAEAudio:
    torch.manual_seed(0)
    return CAVMAEAudio(**arguments(**{**SMALL, "target_length": 64, **settings})).eval()


def visual_encoder(frames: int = 1, **settings: object) -> CAVMAEVisual:
    torch.manual_seed(frames)
    return CAVMAEVisual(**arguments(**{**SMALL, "frames": frames, "image_size": IMAGE, **settings})).eval()


def pictures(batch: int, frames: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, frames, 3, IMAGE, IMAGE), generator=generator, dtype=torch.uint8)


def written(encoder: CAVMAEAudio | CAVMAEVisual, part: str, folder: Path) -> str:
    """The weights of an encoder as a file of parts."""
    path = folder / f"{part}.safetensors"
    save_file({f"{part}.{name}": value.contiguous() for name, value in encoder.state_dict().items()}, path)
    return str(path)


def disturbed(encoder: CAVMAEVisual) -> CAVMAEVisual:
    """Every weight moved off its start, so that a weight that is not loaded shows."""
    with torch.no_grad():
        for value in encoder.parameters():
            value.add_(0.05 * torch.randn_like(value))
    return encoder


# -- several frames -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [2, 4, 6, 10])
def test_inflation_sees_a_still_clip_as_its_frame(
    frames: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    still = disturbed(visual_encoder())
    clip = visual_encoder(frames, pretrained=written(still, "visual", tmp_path))
    with caplog.at_level(logging.WARNING):
        clip.load_pretrained()
    assert f"({frames} frames)" in caplog.text
    picture = pictures(2, 1)
    with torch.no_grad():
        one, many = still(picture).x, clip(picture.expand(-1, frames, -1, -1, -1)).x
    assert many.shape == (2, frames // 2 * 9, 48)
    torch.testing.assert_close(many, one.repeat(1, frames // 2, 1), atol=1e-5, rtol=1e-4)


def test_a_clip_checkpoint_fits_one_frame_and_more_frames(tmp_path: Path) -> None:
    four = disturbed(visual_encoder(4))
    file = written(four, "visual", tmp_path)
    one, eight = visual_encoder(1, pretrained=file), visual_encoder(8, pretrained=file)
    one.load_pretrained()
    eight.load_pretrained()
    torch.testing.assert_close(one.patch_embed.weight, four.patch_embed.weight.sum(2))
    assert torch.equal(eight.patch_embed.weight, four.patch_embed.weight)
    ends = four.pos_embed.unflatten(1, (2, 9))[:, [0, -1]]
    torch.testing.assert_close(eight.pos_embed.unflatten(1, (4, 9))[:, [0, -1]], ends)
    torch.testing.assert_close(one.pos_embed, ends.mean(1))


def test_equal_frames_load_exactly_and_quietly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    four = disturbed(visual_encoder(4))
    other = visual_encoder(4, video_start="official", pretrained=written(four, "visual", tmp_path))
    other.load_pretrained()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert all(torch.equal(a, b) for a, b in zip(four.parameters(), other.parameters(), strict=True))


def test_official_start_keeps_its_own_kernel_and_positions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    still = disturbed(visual_encoder())
    clip = visual_encoder(4, video_start="official", pretrained=written(still, "visual", tmp_path))
    before = {name: value.clone() for name, value in clip.state_dict().items()}
    clip.load_pretrained()
    assert "dropped" in caplog.text
    for name, value in clip.state_dict().items():
        kept = name in ("patch_embed.weight", "patch_embed.bias", "pos_embed")
        assert torch.equal(value, before[name] if kept else still.state_dict()[name]), name


def test_official_start_of_four_frames_is_normal_and_of_others_a_square() -> None:
    assert 0.015 < visual_encoder(4, video_start="official").pos_embed.std() < 0.025
    eight = visual_encoder(8, video_start="official").pos_embed  # 36 tokens
    assert torch.equal(eight[0], sincos_grid(6, 6, 48))
    with pytest.raises(ValueError, match=r"54 tokens of 12 frames.*square"):
        visual_encoder(12, video_start="official")


def test_own_start_tells_the_pairs_apart() -> None:
    steps = visual_encoder(6).pos_embed.detach().unflatten(1, (3, 9))
    assert not torch.allclose(steps[:, 0], steps[:, 1])
    assert not torch.allclose(steps[:, 0], steps[:, 2])


@pytest.mark.parametrize("frames", [0, 3, 7])
def test_an_odd_number_of_frames_is_refused(frames: int) -> None:
    with pytest.raises(ValueError, match=f"frames is {frames}; choose 1 or an even number"):
        visual_encoder(frames)


def test_token_order_is_pair_row_column() -> None:
    encoder = visual_encoder(4, depth=0)
    clip = pictures(1, 4)
    changed = clip.clone()
    changed[0, 2, :, 16:32, 32:48] = 255 - changed[0, 2, :, 16:32, 32:48]  # second pair, row 1, column 2
    with torch.no_grad():
        moved = (encoder(clip).x - encoder(changed).x).abs().amax(-1)[0].nonzero().flatten()
    assert moved.tolist() == [9 + 1 * 3 + 2]


def test_positions_of_one_step_are_repeated() -> None:
    grid = torch.randn(1, 9, 8)
    assert torch.equal(resample_steps(grid, 3, places=9), grid.repeat(1, 3, 1))


# -- masks --------------------------------------------------------------------------------------------------------


def test_content_of_missing_frames_changes_nothing() -> None:
    encoder = disturbed(visual_encoder(6))
    mask = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]]).bool()
    clip = pictures(3, 6)
    other = torch.where(mask[:, :, None, None, None], clip, pictures(3, 6, seed=1))
    with torch.no_grad():
        first, second = encoder(clip, mask), encoder(other, mask)
    assert first.mask.sum(1).tolist() == [18, 27, 0]
    assert torch.isfinite(first.x).all()
    assert torch.equal(first.x[first.mask], second.x[second.mask])


def test_a_half_missing_pair_counts_as_its_frame_twice() -> None:
    encoder = disturbed(visual_encoder(4))
    clip = pictures(1, 4)
    doubled = clip[:, [0, 1, 2, 2]]
    with torch.no_grad():
        torch.testing.assert_close(encoder(clip, torch.tensor([[1, 1, 1, 0]]).bool()).x, encoder(doubled).x)


def test_a_full_mask_equals_none() -> None:
    encoder, clip = visual_encoder(4), pictures(2, 4)
    with torch.no_grad():
        assert torch.equal(encoder(clip).x, encoder(clip, torch.ones(2, 4, dtype=torch.bool)).x)


def test_audio_padding_counts_as_sound_unless_masked() -> None:
    fbank, mask = torch.randn(3, 64, 128), torch.ones(3, 64, dtype=torch.bool)
    mask[0, 32:], mask[1] = False, False
    other = torch.where(mask.unsqueeze(-1), fbank, torch.randn(3, 64, 128))
    heard, masked = audio_encoder(), audio_encoder(mask_padding=True)
    with torch.no_grad():
        assert heard(fbank, mask).mask.sum(1).tolist() == [32, 0, 32]
        assert torch.equal(heard(fbank, mask).x, heard(fbank).x)
        first, second = masked(fbank, mask), masked(other, mask)
    assert first.mask.sum(1).tolist() == [16, 0, 32]
    assert first.mask[0].unflatten(0, (8, 4)).tolist() == [[True, True, False, False]] * 8
    assert torch.equal(first.x[first.mask], second.x[second.mask])


# -- sizes and training -------------------------------------------------------------------------------------------


def test_a_shorter_spectrogram_uses_the_first_positions_in_time() -> None:
    encoder, fbank = audio_encoder(depth=0), torch.randn(1, 64, 128)
    with torch.no_grad():
        whole, half = encoder(fbank).x, encoder(fbank[:, :40]).x  # 4 and 2 columns; 8 frames are dropped
    torch.testing.assert_close(half.unflatten(1, (8, 2)), whole.unflatten(1, (8, 4))[:, :, :2])


@pytest.mark.parametrize("depth", [0, 1, 6, 12])
def test_any_depth_builds_without_memory(depth: int) -> None:
    with torch.device("meta"):
        audio, visual = CAVMAEAudio(ViTSize(depth=depth)), CAVMAEVisual(ViTSize(depth=depth), frames=8)
        sound, sight = audio(torch.empty(2, 1024, 128)), visual(torch.empty(2, 8, 3, 224, 224, dtype=torch.uint8))
    assert sound.x.shape == (2, 512, 768)
    assert sight.x.shape == (2, 4 * 196, 768)
    assert len(audio.blocks) == len(visual.blocks) == depth


def test_gradients_reach_every_weight() -> None:
    for encoder, x in ((audio_encoder(), torch.randn(2, 64, 128)), (visual_encoder(4), pictures(2, 4))):
        encoder.train()(x).x.square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_fixed_positions_are_not_trained_and_keep_their_name() -> None:
    fixed, learned = audio_encoder(positions="fixed"), audio_encoder()
    assert set(fixed.state_dict()) == set(learned.state_dict())
    assert not fixed.pos_embed.requires_grad
    assert torch.equal(fixed.pos_embed[0], sincos_grid(8, 4, 48))


def test_frozen_keeps_no_graph_and_lora_trains_adapters_alone() -> None:
    frozen = visual_encoder(frozen=True).train()
    assert not frozen(pictures(1, 1)).x.requires_grad
    adapted = audio_encoder(lora=LoRA(rank=2)).train()
    adapted(torch.randn(1, 64, 128)).x.sum().backward()
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)


# -- messages -----------------------------------------------------------------------------------------------------


def test_wrong_input_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="the clips have 3 frames and the encoder 4; make"):
        visual_encoder(4)(pictures(1, 3))
    with pytest.raises(ValueError, match="64 mel bins and the encoder's front end 128"):
        audio_encoder()(torch.zeros(1, 64, 64))
    with pytest.raises(ValueError, match="80 frames, outside of 16 to target_length 64"):
        audio_encoder()(torch.zeros(1, 80, 128))
    with pytest.raises(ValueError, match="multiple of patch 16"):
        visual_encoder(image_size=50)


def test_a_file_with_other_blocks_or_parts_is_one_sentence(tmp_path: Path) -> None:
    file = written(visual_encoder(), "visual", tmp_path)
    with pytest.raises(ValueError, match=r"holds 2 blocks for CAVMAEVisual, which has 3; set size\.depth: 2"):
        visual_encoder(depth=3, pretrained=file).load_pretrained()
    with pytest.raises(ValueError, match="no audio weights for CAVMAEAudio, only visual"):
        audio_encoder(pretrained=file).load_pretrained()
    with pytest.raises(ValueError, match="pos_embed"):
        visual_encoder(image_size=64, pretrained=file).load_pretrained()
