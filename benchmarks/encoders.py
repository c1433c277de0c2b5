"""Clips per second of encoders in training (forward and backward) on this machine's CPU.

    python benchmarks/encoders.py --threads 1

Prints the best of five steps of 16 clips: 8 frames of 64 x 64 pixels, or a 64-mel spectrogram. Time is the processor
time of this process over its threads, so that other work on the machine disturbs little.
"""

from __future__ import annotations

import argparse
import time

import torch

from avcap.encoders import CEDEncoder, Encoder, TimmVisual
from avcap.layers.vit import ViTSize

CLIPS, FRAMES, SIDE, STEPS = 16, 8, 64, 5
VIT = {"patch_size": 16, "depth": 4, "embed_dim": 192, "num_heads": 3}
RESNET = {"channels": (32, 64, 128, 192), "stem_width": 16}


def encoders() -> dict[str, tuple[Encoder, torch.Tensor]]:
    """Each encoder with its input."""
    frames = torch.randint(0, 256, (CLIPS, FRAMES, 3, SIDE, SIDE), dtype=torch.uint8)
    sound = torch.randn(CLIPS, 1024, 64)
    vit = "vit_tiny_patch16_224"
    small, wide = ViTSize(128, 4, 2), ViTSize(192, 4, 3)
    return {
        "TimmVisual resnet10t, channels 32 64 128 192": (
            TimmVisual("resnet10t", image_size=SIDE, model_args=RESNET),
            frames,
        ),
        "TimmVisual test_resnet": (TimmVisual("test_resnet", image_size=SIDE), frames),
        "TimmVisual ViT 192 x 4, patch 16, unfused": (
            TimmVisual(vit, image_size=SIDE, model_args=VIT, fused_attention=False),
            frames,
        ),
        "TimmVisual ViT 192 x 4, patch 16": (TimmVisual(vit, image_size=SIDE, model_args=VIT), frames),
        "TimmVisual ViT 192 x 4, patch 8, unfused": (
            TimmVisual(vit, image_size=SIDE, model_args={**VIT, "patch_size": 8}, fused_attention=False),
            frames,
        ),
        "CEDEncoder 128 x 4, 512 frames": (CEDEncoder(small), sound[:, :512]),
        "CEDEncoder 192 x 4, 512 frames": (CEDEncoder(wide), sound[:, :512]),
        "CEDEncoder 192 x 4, 1024 frames": (CEDEncoder(wide), sound),
        "CEDEncoder tiny, frozen, 1024 frames": (CEDEncoder("tiny", frozen=True), sound),
    }


def rate(encoder: Encoder, x: torch.Tensor, *, bf16: bool) -> float:
    """Clips per second of the best step."""
    encoder.train()
    best = float("inf")
    for _ in range(STEPS):
        start = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            tokens = encoder(x).x
        if tokens.requires_grad:
            tokens.float().square().mean().backward()
        best = min(best, time.process_time() - start)
    return len(x) * torch.get_num_threads() / best


def main() -> None:
    """Measure them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    print(f"{'encoder':46} {'params':>8} {'bf16':>8} {'fp32':>8}  clips/s")
    for name, (encoder, x) in encoders().items():
        millions = sum(p.numel() for p in encoder.parameters()) / 1e6
        print(
            f"{name:46} {millions:7.2f}M {rate(encoder, x, bf16=True):8.1f} {rate(encoder, x, bf16=False):8.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
