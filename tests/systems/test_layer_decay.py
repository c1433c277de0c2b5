"""Layer-wise decay of the learning rate."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from avcap.decoders import GITDecoder
from avcap.decoders.git_text import GITSize
from avcap.encoders import CAVMAEAudio, CAVMAEVisual, CEDEncoder, CLIPVisual, TimmVisual
from avcap.fusion import TokenConcat
from avcap.systems import Captioner
from avcap.systems.layer_decay import find_blocks, layer_decay_scales
from tests.systems.parts import Concat, LinearAudio, MeanVisual, WordDecoder

SMALL = {"width": 24, "heads": 2}


def captioner(**changes) -> Captioner:
    return Captioner(
        CAVMAEAudio(**SMALL, depth=3, mels=32, target_length=32),
        CAVMAEVisual(**SMALL, depth=2, image_size=32),
        lambda audio, visual: TokenConcat(audio, visual, joint_depth=1, heads=2),
        lambda width: GITDecoder(width, size=GITSize(**SMALL, depth=2, vocab_size=50, positions=50)),
        optimizer=lambda groups: torch.optim.AdamW(groups, lr=1.0, weight_decay=0.1),
        **changes,
    )


def rates(model: Captioner) -> dict[str, float]:
    names = {p: name for name, p in model.network.named_parameters()}
    return {names[p]: group["lr"] for group in model.configure_optimizers().param_groups for p in group["params"]}


def test_every_layer_has_its_factor() -> None:
    found = rates(captioner(layer_decay={"audio_encoder": 0.5, "decoder.text": 0.1}, lr_scales={"audio_encoder": 4.0}))
    expected = {
        "audio_encoder.pos_embed": 0.5,  # 4 * 0.5 ** 3
        "audio_encoder.modality": 0.5,
        "audio_encoder.patch_embed.weight": 0.5,
        "audio_encoder.blocks.0.attn.q_proj.weight": 1.0,
        "audio_encoder.blocks.1.norm1.bias": 2.0,
        "audio_encoder.blocks.2.mlp.fc2.weight": 4.0,
        "visual_encoder.patch_embed.weight": 1.0,  # a part that is not named
        "fusion.joint.blocks.0.attn.proj.weight": 1.0,
        "decoder.projection.0.weight": 1.0,  # outside of the module that is named
        "decoder.text.words.weight": 0.01,
        "decoder.text.blocks.0.attn.q_proj.weight": 0.1,
        "decoder.text.blocks.1.attn.q_proj.weight": 1.0,
    }
    names = {name for name in found if name in expected}
    assert names == set(expected), set(expected) - names
    assert {name: found[name] for name in names} == pytest.approx(expected)
    assert set(found) == {name for name, p in captioner().model.named_parameters() if p.requires_grad}


def test_vectors_still_have_no_weight_decay_and_none_is_the_usual_groups() -> None:
    groups = captioner(layer_decay={"audio_encoder": 0.5}).configure_optimizers().param_groups
    assert all(p.ndim <= 1 for group in groups if group["weight_decay"] == 0 for p in group["params"])
    assert all(p.ndim > 1 for group in groups if group["weight_decay"] > 0 for p in group["params"])
    assert len(captioner().configure_optimizers().param_groups) == 8  # four parts, matrices and vectors


def test_a_decay_of_one_changes_nothing() -> None:
    assert rates(captioner(layer_decay={"audio_encoder": 1.0})) == rates(captioner())


@pytest.mark.parametrize(
    ("encoder", "blocks"),
    [
        (lambda: CEDEncoder(size=None, width=24, depth=3, heads=2, target_length=64), 3),
        (lambda: CLIPVisual(size="vit_base_patch32"), 12),
        (lambda: TimmVisual(model="vit_tiny_patch16_224"), 12),
    ],
    ids=["CED", "CLIP", "timm"],
)
def test_blocks_are_found_in_other_architectures_between_what_is_before_and_after(encoder, blocks: int) -> None:
    with torch.device("meta"):
        system = nn.Module()
        system.part = encoder()
    assert len(find_blocks(system.part)) == blocks
    scales = layer_decay_scales(system, {"part": 0.5})
    assert set(scales.values()) == {0.5**k for k in range(blocks + 1)}
    assert all(scales[p] == 1 for p in list(find_blocks(system.part))[-1].parameters())
    patches = [p for p in system.part.parameters() if p.ndim == 4 and p.shape[-1] > 1 and p.shape[1] in (1, 3)]
    assert patches
    assert all(scales[p] == 0.5**blocks for p in patches)


@pytest.mark.parametrize(
    ("layer_decay", "message"),
    [
        ({"encoder": 0.5}, "layer_decay names encoder, which the system does not have; it has fusion, audio_encoder"),
        ({"audio_encoder": 0.0}, r"layer_decay.audio_encoder is 0.0; choose a value above 0"),
        ({"decoder": 0.9, "decoder.text": 0.9}, "decoder.text and a module that holds it or is in it"),
    ],
)
def test_wrong_settings_are_refused_at_once(layer_decay: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        captioner(layer_decay=layer_decay)


def test_a_part_without_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="audio_encoder, which has no list of equal blocks"):
        Captioner(LinearAudio(), MeanVisual(), Concat, WordDecoder, layer_decay={"audio_encoder": 0.5})
