"""Training steps of the three systems at paper size on one GPU: clips a second and peak memory.

    python benchmarks/gpu.py [--device cuda] [--steps 10] [--only lavcap avcap dali sinkhorn]

Weights are random and inputs are made up; sizes, batch sizes and optimisers are those of the configs. Each row is compared with
the plain way, float32 throughout. A step is forward, backward and AdamW; seconds are the median of ``--steps`` steps after three
to warm up, measured by CUDA events. ``sinkhorn`` compares the batched solver with one clip after another. ``--small`` runs the
same code with small models on any device, to see that it works.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from avcap import CaptionModel, CausalLMDecoder, CAVMAEAudio, CAVMAEVisual, CEDEncoder, DALIAudio, GITDecoder
from avcap.encoders import LlavaVision, PrecomputedVisual
from avcap.fusion import OTAttention, TokenConcat
from avcap.layers.lora import LoRA
from avcap.losses import OTAlignment
from avcap.models.parts import encode
from avcap.transport import sinkhorn
from avcap.types import Batch
from benchmarks.sinkhorn import one_by_one

LLM = Path(__file__).resolve().parents[1] / "configs" / "llm"
ROWS, PICTURES, TEXT = 1024, 20, 40


class System(NamedTuple):
    """A model with its loss, and the inputs of a step."""

    model: nn.Module
    loss: Callable[[Batch], Tensor]
    batch: Batch


def lavcap(*, small: bool) -> System:
    """LAVCap: CED-base and LLaMA-2-7B with LoRA, 20 visual features, 4 clips (configs/lavcap.yaml)."""
    adapters = {"frozen": True, "lora": LoRA(rank=8, alpha=32.0, dropout=0.1, targets=["q_proj", "v_proj"])}
    model = CaptionModel(
        CEDEncoder("tiny" if small else "base", **adapters),
        PrecomputedVisual(768),
        OTAttention,
        lambda width: CausalLMDecoder(
            width, config=str(LLM / ("small.json" if small else "llama2_7b.json")), dtype="bfloat16", **adapters
        ),
    )
    batch: Batch = {"fbank": torch.randn(4, ROWS, 64), "visual_features": torch.randn(4, PICTURES, 768)}
    return _captioning(model, batch)


def avcap(*, small: bool) -> System:
    """AVCap: CAV-MAE and the GIT decoder, 8 clips (configs/avcap.yaml)."""
    depth = 1 if small else 11
    model = CaptionModel(
        CAVMAEAudio(depth=depth),
        CAVMAEVisual(depth=depth),
        TokenConcat,
        lambda width: GITDecoder(width, depth=1 if small else 6, vocab_size=30522, attention_dropout=0.1),
    )
    frames = torch.randint(0, 256, (8, 1, 3, 224, 224), dtype=torch.uint8)
    return _captioning(model, {"fbank": torch.randn(8, ROWS, 128), "frames": frames})


def dali(*, small: bool) -> System:
    """DALI's alignment: CAV-MAE's audio branch and LLaVA-1.5's frozen tower (configs/dali/paper/1b_alignment.yaml)."""
    tower = LlavaVision(config=str(LLM / ("llava_demo.json" if small else "llava_1_5_7b.json")), dtype="bfloat16")
    audio, objective, clips = DALIAudio(output_width=tower.width), OTAlignment(), 2 if small else 64
    side = tower.input_shape(1)[-1]
    frames = torch.randint(0, 256, (clips, 1, 3, side, side), dtype=torch.uint8)

    def loss(batch: Batch) -> Tensor:
        with torch.no_grad():
            seen = encode(tower, batch)
        return objective(encode(audio, batch), seen, epoch=1).loss

    return System(nn.ModuleList([audio, tower]), loss, {"fbank": torch.randn(clips, ROWS, 128), "frames": frames})


def _captioning(model: CaptionModel, batch: Batch) -> System:
    def loss(batch: Batch) -> Tensor:
        fused = model.fuse(batch)
        return model.decoder.dry_loss(fused.tokens, TEXT) + sum(fused.losses.values())

    return System(model, loss, batch)


SYSTEMS = {"lavcap": lavcap, "avcap": avcap, "dali": dali}


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def seconds(run: Callable[[], object], steps: int, device: str) -> float:
    """The median of ``steps`` runs after three to warm up."""
    times = []
    for step in range(3 + steps):
        if device == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            run()
            end.record()
            torch.cuda.synchronize()
            spent = start.elapsed_time(end) / 1e3
        else:
            begin = time.perf_counter()
            run()
            spent = time.perf_counter() - begin
        if step >= 3:
            times.append(spent)
    return statistics.median(times)


def measure(name: str, *, mixed: bool, steps: int, device: str, small: bool) -> tuple[float, float, int]:
    """Seconds of a training step, peak memory in GiB, and clips a step."""
    torch.manual_seed(0)
    with torch.device(device):
        system = SYSTEMS[name](small=small)
    model = system.model.train()
    if not mixed:
        model.float()
    batch = system.batch
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=mixed):
            loss = system.loss(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    with _tf32(False):
        spent = seconds(step, steps, device)
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else float("nan")
    return spent, peak, len(batch["fbank"])


def solver(steps: int, device: str) -> tuple[float, float]:
    """Seconds of the batched Sinkhorn solver and of one clip after another: 64 clips, 20 x 64 tokens, 50 iterations."""
    cost = torch.rand(64, 20, 64, device=device)
    ours = seconds(lambda: sinkhorn(cost, epsilon=0.1, iterations=50), steps, device)
    return ours, seconds(lambda: one_by_one(cost, epsilon=0.1, iterations=50), max(3, steps // 3), device)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--only", nargs="+", default=[*SYSTEMS, "sinkhorn"], choices=[*SYSTEMS, "sinkhorn"])
    parser.add_argument("--small", action="store_true")
    args = parser.parse_args()
    card = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    print(f"{card}, torch {torch.__version__}, medians of {args.steps} steps")
    print(
        f"{'system':<10}{'precision':<12}{'clips':>6}{'s/step':>9}{'clips/s':>9}{'peak GiB':>10}{'times float32':>15}"
    )
    for name in [name for name in args.only if name in SYSTEMS]:
        plain = None
        for mixed in (False, True):
            try:
                spent, peak, clips = measure(name, mixed=mixed, steps=args.steps, device=args.device, small=args.small)
            except torch.OutOfMemoryError:
                print(f"{name:<10}{'bf16-mixed' if mixed else 'float32':<12}   does not fit", flush=True)
                continue
            finally:
                gc.collect()
                torch.cuda.empty_cache()
            plain = spent if not mixed else plain
            ratio = "" if plain is None or not mixed else f"{plain / spent:15.1f}"
            precision = "bf16-mixed" if mixed else "float32"
            print(
                f"{name:<10}{precision:<12}{clips:>6}{spent:>9.3f}{clips / spent:>9.1f}{peak:>10.1f}{ratio}", flush=True
            )
    if "sinkhorn" in args.only:
        ours, loop = solver(args.steps, args.device)
        print(
            f"sinkhorn, 64 clips: {ours * 1e3:.2f} ms batched, {loop * 1e3:.1f} ms one after another, {loop / ours:.0f} times"
        )


if __name__ == "__main__":
    main()
