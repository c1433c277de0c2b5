"""The official cases of CAV-MAE at width 48, and our parts with their weights, imported as from a checkpoint."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from avcap.encoders import CAVMAEAudio, CAVMAEVisual
from avcap.encoders.cav_mae_visual import IMAGENET_MEAN, IMAGENET_STD
from avcap.frontends import KaldiFbank
from avcap.fusion import TokenConcat
from avcap.layers.vit import ViTSize
from avcap.weights import ImportOptions
from avcap.weights.cav_mae import convert_cav_mae
from tests.golden import golden


class Case(NamedTuple):
    manifest: dict
    arrays: dict[str, np.ndarray]
    audio: CAVMAEAudio
    visual: CAVMAEVisual
    fusion: TokenConcat
    fbank: Tensor  # [B, T, F]
    frames: Tensor  # [B, N, 3, H, W] float, 0..255 scale

    def check(self, name: str, tokens: Tensor) -> None:
        golden.check(self.manifest, self.arrays, name, tokens.numpy())


def official_state(manifest: dict) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value.copy()) for name, value in golden.state_dict(manifest).items()}


def part(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


def sizes(manifest: dict) -> dict[str, int]:
    config = manifest["config"]
    return {"width": config["embed_dim"], "heads": config["num_heads"], "depth": config["modality_specific_depth"]}


def raw_frames(images: Tensor) -> Tensor:
    """Normalised images ``[B, 3, H, W]`` or clips ``[B, 3, N, H, W]`` -> frames ``[B, N, 3, H, W]`` in 0..255."""
    clips = (images.unsqueeze(2) if images.ndim == 4 else images).double().transpose(1, 2)
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return ((clips * std + mean) * 255).float()


@lru_cache(maxsize=2)
def case(name: str) -> Case:
    manifest, arrays = golden.load(name)
    size = sizes(manifest)
    frontend = KaldiFbank(128, target_length=manifest["config"]["audio_length"])
    audio = CAVMAEAudio(ViTSize(**size), frontend=frontend).eval()
    visual = CAVMAEVisual(ViTSize(**size), frames=manifest["config"]["num_frames"]).eval()
    fusion = TokenConcat(size["width"], size["width"], joint_depth=12 - size["depth"], heads=size["heads"]).eval()
    state = convert_cav_mae(official_state(manifest), ImportOptions()).state
    audio.load_state_dict(part(state, "audio"))
    visual.load_state_dict(part(state, "visual"))
    fusion.joint.load_state_dict(part(state, "joint"))
    inputs = golden.inputs(manifest)
    frames = raw_frames(torch.from_numpy(inputs["visual"]))
    return Case(manifest, arrays, audio, visual, fusion, torch.from_numpy(inputs["audio"]), frames)
