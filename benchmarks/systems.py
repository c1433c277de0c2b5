"""The three systems at paper size with random weights, and inputs that are made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from avcap import CaptionModel, CausalLMDecoder, CAVMAEAudio, CAVMAEVisual, CEDEncoder, DALIAudio, GITDecoder
from avcap.decoders.git_text import GITSize
from avcap.encoders import LlavaVision, PrecomputedVisual
from avcap.fusion import OTAttention, TokenConcat
from avcap.layers.lora import LoRA
from avcap.layers.vit import ViTSize
from avcap.losses import OTAlignment
from avcap.models.parts import encode
from avcap.types import Batch

LLM = Path(__file__).resolve().parents[1] / "configs" / "llm"
ROWS, PICTURES, TEXT = 1024, 20, 40
LAYERS = 32  # of LLaMA-2-7B


class System(NamedTuple):
    """A model with its loss, and the inputs of a step."""

    model: nn.Module
    loss: Callable[[Batch], Tensor]
    batch: Batch


def lavcap(clips: int, *, layers: int = LAYERS, dtype: str = "bfloat16", small: bool = False) -> System:
    """LAVCap: CED-base and LLaMA-2-7B with LoRA, 20 visual features a clip (configs/lavcap.yaml)."""
    adapters = {"frozen": True, "lora": LoRA(rank=8, alpha=32.0, dropout=0.1, targets=["q_proj", "v_proj"])}
    config = json.loads((LLM / ("small.json" if small else "llama2_7b.json")).read_text())
    if not small:
        config["num_hidden_layers"] = layers
    model = CaptionModel(
        CEDEncoder("tiny" if small else "base", **adapters),
        PrecomputedVisual(768),
        OTAttention,
        lambda width: CausalLMDecoder(width, config=config, dtype=dtype, **adapters),
    )
    batch: Batch = {"audio": torch.randn(clips, ROWS, 64), "visual_features": torch.randn(clips, PICTURES, 768)}
    return _captioning(model, batch, TEXT)


def avcap(clips: int, *, frozen: bool = False, small: bool = False) -> System:
    """AVCap: CAV-MAE and the GIT decoder, one frame, 20 words (configs/avcap.yaml)."""
    size = ViTSize(width=192, depth=1, heads=3) if small else ViTSize(depth=11)
    text = GITSize(width=192, depth=1, heads=3) if small else GITSize()
    model = CaptionModel(
        CAVMAEAudio(size), CAVMAEVisual(size), TokenConcat, lambda width: GITDecoder(width, size=text, frozen=frozen)
    )
    frames = torch.randint(0, 256, (clips, 1, 3, 224, 224), dtype=torch.uint8)
    return _captioning(model, {"audio": torch.randn(clips, ROWS, 128), "frames": frames}, 21)


def dali(clips: int, *, small: bool = False) -> System:
    """DALI's alignment: CAV-MAE's audio branch and LLaVA-1.5's frozen tower (configs/dali/paper/1b_alignment.yaml)."""
    tower = LlavaVision(config=str(LLM / ("llava_demo.json" if small else "llava_1_5_7b.json")), dtype="bfloat16")
    size = ViTSize(width=192, depth=1, heads=3) if small else ViTSize(depth=11)
    audio, objective = DALIAudio(size, output_width=tower.width), OTAlignment()
    side = tower.input_shape(1)[-1]
    frames = torch.randint(0, 256, (clips, 1, 3, side, side), dtype=torch.uint8)

    def loss(batch: Batch) -> Tensor:
        with torch.no_grad():
            seen = encode(tower, batch)
        return objective(encode(audio, batch), seen, epoch=1).loss

    return System(nn.ModuleList([audio, tower]), loss, {"audio": torch.randn(clips, ROWS, 128), "frames": frames})


def _captioning(model: CaptionModel, batch: Batch, text: int) -> System:
    def loss(batch: Batch) -> Tensor:
        fused = model.fuse(batch)
        return model.decoder.dry_loss(fused.tokens, text) + sum(fused.losses.values())

    return System(model, loss, batch)


def training_step(system: System, device: str, dtype: torch.dtype) -> Callable[[], None]:
    """Return a training step: forward, backward and AdamW; half precision is autocast."""
    system.model.train()
    optimizer = torch.optim.AdamW([p for p in system.model.parameters() if p.requires_grad], lr=1e-5)

    def step() -> None:
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            loss = system.loss(system.batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
