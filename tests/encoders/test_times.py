"""When the tokens of every encoder are: hand-computed from the times of rows and pictures."""

from __future__ import annotations

import inspect

import pytest
import torch

import avcap.encoders
from avcap.data.collate import row_times
from avcap.encoders import (
    CAVMAEAudio,
    CAVMAEVisual,
    CEDEncoder,
    CLIPVisual,
    DALIAudio,
    LlavaVision,
    PrecomputedVisual,
    TimmVisual,
)
from avcap.encoders.base import Encoder
from avcap.frontends import KaldiFbank
from avcap.layers.vit import ViTSize
from tests.llava_parts import IMAGE, PATCHES, settings

SIZE, FRONTEND = ViTSize(24, 1, 2), KaldiFbank(32, target_length=64)
COLUMNS = [0.08, 0.24, 0.40, 0.56]  # 16 rows of 10 ms each
TIMM = {"model": "vit_tiny_patch16_224", "image_size": 32}
SMALL = {"embed_dim": 24, "depth": 1, "num_heads": 2}
CLIP = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "patch_size": 16,
    "image_size": 32,
    "projection_dim": 8,
}

AUDIO = {
    "CED": (lambda: CEDEncoder(SIZE, frontend=FRONTEND), COLUMNS),
    "CED with all patches": (lambda: CEDEncoder(SIZE, frontend=FRONTEND, frequency_mean=False), COLUMNS * 2),
    "CAV-MAE": (lambda: CAVMAEAudio(SIZE, frontend=FRONTEND), COLUMNS * 2),
    "DALI": (lambda: DALIAudio(SIZE, frontend=FRONTEND, joint_depth=1, output_width=16), COLUMNS * 2),
}
SEEN = [1.0, 2.0, 7.0, 9.0]
VISUAL = {
    "CAV-MAE": (lambda: CAVMAEVisual(SIZE, frames=4, image_size=32), [1.5] * 4 + [8.0] * 4),
    "timm, one token": (lambda: TimmVisual(**TIMM, model_args=SMALL), SEEN),
    "timm, patches": (
        lambda: TimmVisual(**TIMM, model_args=SMALL, pooling="none"),
        [time for time in SEEN for _ in range(4)],
    ),
    "CLIP, one token": (lambda: CLIPVisual(config=CLIP), SEEN),
    "CLIP, patches": (lambda: CLIPVisual(config=CLIP, output="patches"), [time for time in SEEN for _ in range(4)]),
}


@pytest.mark.parametrize(("build", "expected"), AUDIO.values(), ids=AUDIO)
def test_a_token_of_sound_is_in_the_middle_of_its_rows(build, expected):
    encoder, fbank = build().eval(), torch.randn(2, 64, 32)
    tokens = encoder(fbank, torch.ones(2, 64, dtype=torch.bool), row_times(64, 0.01).expand(2, -1))
    assert tokens.time.shape == tokens.x.shape[:2]
    torch.testing.assert_close(tokens.time, torch.tensor([expected] * 2), atol=1e-6, rtol=0)
    assert encoder(fbank).time is None


@pytest.mark.parametrize(("build", "expected"), VISUAL.values(), ids=VISUAL)
def test_a_visual_token_is_at_the_time_of_its_pictures(build, expected):
    encoder = build().eval()
    frames = torch.randint(0, 256, (2, 4, 3, 32, 32), dtype=torch.uint8)
    tokens = encoder(frames, None, torch.tensor([SEEN, [0.0] * 4]))
    assert tokens.time.shape == tokens.x.shape[:2]
    assert tokens.time[0].tolist() == expected
    assert not tokens.time[1].any()
    assert encoder(frames).time is None


def test_a_pair_with_one_real_frame_is_at_the_time_of_that_frame():
    encoder = CAVMAEVisual(SIZE, frames=4, image_size=32).eval()
    frames, time = torch.zeros(1, 4, 3, 32, 32), torch.tensor([[1.0, 2.0, 7.0, torch.nan]])
    tokens = encoder(frames, torch.tensor([[True, True, True, False]]), time)
    assert tokens.time[0].tolist() == [1.5] * 4 + [7.0] * 4


def test_features_made_beforehand_keep_their_times():
    time = torch.rand(2, 3)
    assert PrecomputedVisual(4)(torch.zeros(2, 3, 4), None, time).time is time


def test_patches_of_llava_are_at_the_time_of_their_frame():
    encoder, time = LlavaVision(config=settings()), torch.tensor([[1.0, 3.0]])
    tokens = encoder(torch.zeros(1, 2, 3, IMAGE, IMAGE), None, time)
    assert tokens.time[0].tolist() == [1.0] * PATCHES + [3.0] * PATCHES


def test_every_encoder_is_tested_here():
    exported = {thing for thing in vars(avcap.encoders).values() if inspect.isclass(thing)}
    concrete = {kind for kind in exported if issubclass(kind, Encoder) and not inspect.isabstract(kind)}
    here = {CAVMAEAudio, CAVMAEVisual, CEDEncoder, CLIPVisual, DALIAudio, LlavaVision, PrecomputedVisual, TimmVisual}
    assert concrete == here
