"""Parity with the official CAV-MAE encoder of AVCap: joint, audio-only and video-only tokens, 1 and 4 frames.

Tolerances are those of the case files (rtol 1e-4, atol 1e-5).
"""

from __future__ import annotations

import pytest
import torch

from tests.encoders.cav_mae_golden import case

CASES = ("avcap_encoder_f1", "avcap_encoder_f4")


@pytest.mark.parametrize("name", CASES)
def test_joint_tokens_match_the_official_code(name: str) -> None:
    with torch.no_grad():
        c = case(name)
        c.check("tokens", c.fusion(c.audio(c.fbank), c.visual(c.frames)).tokens.x)


@pytest.mark.parametrize("name", CASES)
def test_single_streams_match_the_official_code(name: str) -> None:
    with torch.no_grad():
        c = case(name)
        c.check("tokens_audio_captioning", c.fusion(c.audio(c.fbank), None).tokens.x)
        c.check("tokens_video_captioning", c.fusion(None, c.visual(c.frames)).tokens.x)
