"""Audio tokens get the spread of image tokens, and nothing else of the encoder changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from avcap.commands.dali_calibrate import calibrate, moments, rescaled
from avcap.encoders import DALIAudio
from avcap.frontends import KaldiFbank
from avcap.layers.vit import ViTSize
from avcap.losses import OTAlignment
from avcap.systems import Alignment
from avcap.types import Batch
from tests.systems.parts import MeanVisual


def make(width: int = 6) -> Alignment:
    torch.manual_seed(0)
    encoder = DALIAudio(ViTSize(24, 1, 2), joint_depth=0, output_width=width, frontend=KaldiFbank(32, target_length=64))
    return Alignment(encoder, MeanVisual(width), OTAlignment()).eval()


def batch(*, seen: list[bool]) -> Batch:
    clips = len(seen)
    frames = torch.randint(0, 256, (clips, 3, 3, 8, 8), dtype=torch.uint8)
    mask = torch.tensor(seen).unsqueeze(1).expand(clips, 3)
    return {
        "id": [f"clip{i}" for i in range(clips)],
        "audio": torch.randn(clips, 64, 32),
        "audio_mask": torch.ones(clips, 64, dtype=torch.bool),
        "frames": frames,
        "frames_mask": mask,
    }


def spread(x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.flatten(0, 1).double()
    return x.mean(0), torch.cov(x.mT, correction=0)


def test_audio_tokens_are_spread_like_image_tokens():
    model = make()
    torch.manual_seed(1)
    batches = [batch(seen=[True, False, True]), batch(seen=[True, True])]
    audio, image = moments(model, iter(batches))
    before = {name: x.clone() for name, x in model.audio_encoder.state_dict().items()}
    model.audio_encoder.load_state_dict(rescaled(before, audio, image))
    with torch.no_grad():
        pairs = [model.tokens(one) for one in batches]
    heard = torch.cat([a.x[v.full_mask().any(1)] for a, v in pairs])
    seen = torch.cat([v.x[v.full_mask().any(1)] for _, v in pairs])
    for found, wanted in zip(spread(heard), spread(seen), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
    after = model.audio_encoder.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"projection.weight", "projection.bias"}


def test_channels_alone_keep_the_correlations_of_the_sound():
    model = make()
    torch.manual_seed(2)
    one = batch(seen=[True, True, True])
    audio, image = moments(model, iter([one]))
    model.audio_encoder.load_state_dict(rescaled(model.audio_encoder.state_dict(), audio, image, "channels"))
    with torch.no_grad():
        heard, seen = model.tokens(one)
    mean, covariance = spread(heard.x)
    wanted_mean, wanted = spread(seen.x)
    torch.testing.assert_close(mean, wanted_mean, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(covariance.diagonal(), wanted.diagonal(), rtol=1e-3, atol=1e-6)

    def correlation(matrix: Tensor) -> Tensor:
        scale = matrix.diagonal().rsqrt()
        return matrix * scale * scale.unsqueeze(1)

    torch.testing.assert_close(correlation(covariance), correlation(audio[1]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["covariance", "channels"])
def test_a_gain_widens_the_spread_about_the_same_mean(kind: str):
    model = make()
    torch.manual_seed(3)
    one = batch(seen=[True, True, True])
    found = []
    state = {name: x.clone() for name, x in model.audio_encoder.state_dict().items()}
    pair = moments(model, iter([one]))
    for gain in (1.0, 3.0):
        model.audio_encoder.load_state_dict(rescaled(state, *pair, kind, gain))
        with torch.no_grad():
            found.append(spread(model.tokens(one)[0].x))
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[1][1], 9 * found[0][1], rtol=1e-3, atol=1e-4)


def test_bad_numbers_and_missing_runs_are_told(tmp_path: Path):
    with pytest.raises(ValueError, match="clips and batch_size must be at least 1, got 0 and 50"):
        calibrate(tmp_path / "best.ckpt", tmp_path / "out.safetensors", clips=0)
    with pytest.raises(ValueError, match=r"gain is 0\.0, it must be above 0"):
        calibrate(tmp_path / "best.ckpt", tmp_path / "out.safetensors", gain=0.0)
    with pytest.raises(FileNotFoundError, match=r"best\.ckpt"):
        calibrate(tmp_path / "best.ckpt", tmp_path / "out.safetensors")
