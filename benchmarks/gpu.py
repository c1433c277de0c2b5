"""Training steps and solvers on one CUDA card, beside its matrix product: speed, memory by batch size, parity with the CPU.

    python benchmarks/gpu.py [--minutes 7] [--steps 5] [--only parity sinkhorn lavcap avcap dali]

It runs from a bare checkout with the torch and transformers of the machine. Weights are random and inputs are made up; sizes
and optimisers are those of the paper configs. A step is forward, backward and AdamW in bf16-mixed, for batches of 1, 4, 16
and 64 clips (LAVCap 32 too, DALI 256 too), and in float32 for the config's own batch. Seconds are medians by CUDA events. ``TFLOP/s`` are
the matrix products and attentions of a step, ``of product`` their share of what a product of 8192 x 8192 does in the same number
format, ``MFU`` of what the maker promises, where Lightning is there to say that. The shortest lines come first, and none begins
after ``--minutes``. ``--device cpu --small`` runs the same code with small models, to see that it works.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / place) for place in ("src", "")]

import torch  # noqa: E402

from avcap.operations import operation_counter  # noqa: E402
from avcap.transport import cosine_similarity, sinkhorn  # noqa: E402
from avcap.transport._iterations import log_domain  # noqa: E402
from benchmarks import systems  # noqa: E402

SYSTEMS = {"avcap": systems.avcap, "dali": systems.dali, "lavcap": systems.lavcap}
SIZES = {"avcap": (1, 4, 16, 64), "dali": (1, 4, 16, 64, 256), "lavcap": (1, 4, 16, 32, 64)}
OWN = {"avcap": 8, "dali": 64, "lavcap": 4}  # clips a step in the paper configs
FORMATS = {torch.float32: "float32", torch.bfloat16: "bf16-mixed"}


class Card:
    """A device, and what it can do at most."""

    def __init__(self, device: str, *, steps: int, small: bool) -> None:
        self.device, self.steps, self.small = device, steps, small
        self.products = {dtype: self._product(dtype) for dtype in FORMATS}
        self.promised = {dtype: _promised(device, dtype) for dtype in FORMATS}

    def seconds(self, run: Callable[[], object]) -> float:
        """The median time of a call, after two to warm up."""
        times = []
        for step in range(2 + self.steps):
            if self.device == "cuda":
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
            if step >= 2:
                times.append(spent)
        return statistics.median(times)

    def _product(self, dtype: torch.dtype) -> float:
        """Operations a second of a matrix product."""
        n = 256 if self.small else 8192
        a, b = (torch.randn(n, n, device=self.device).to(dtype) for _ in range(2))
        return 2 * n**3 / self.seconds(lambda: a @ b)


def _promised(device: str, dtype: torch.dtype) -> int | None:
    try:
        from lightning.fabric.utilities.throughput import get_available_flops
    except ImportError:
        return None
    return get_available_flops(torch.device(device), dtype) if device == "cuda" else None


def parity(card: Card) -> Iterator[str]:
    """The loss of the small systems in float32, and Sinkhorn's plans, on the CPU and on the card."""
    for name, build in SYSTEMS.items():
        torch.manual_seed(0)
        system = build(2, small=True)
        losses = []
        for device in ("cpu", card.device):
            model = system.model.eval().float().to(device)
            model.zero_grad(set_to_none=True)
            batch = {key: x.to(device) for key, x in system.batch.items()}
            loss = system.loss(batch)
            loss.backward()
            norm = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
            losses.append((loss.item(), norm.item()))
        (here, pull), (there, push) = losses
        yield f"| {name}, loss and norm of its gradient | {abs(there / here - 1):.1e} | {abs(push / pull - 1):.1e} |"
    cost = _cost("cpu")
    exact, found = (sinkhorn(cost.to(device), epsilon=0.1).plan.cpu() for device in ("cpu", card.device))
    yield f"| Sinkhorn's plans, largest difference | {(exact - found).abs().max():.1e} | |"


def solvers(card: Card) -> Iterator[str]:
    """Sinkhorn for 64 clips of 20 x 64 tokens and 50 iterations: as it is called, in many launches, one clip after another."""
    from benchmarks.sinkhorn import one_by_one

    cost = _cost(card.device)
    log_a, log_b = (cost.new_full((64, n), 1 / n).log() for n in (20, 64))
    ours = card.seconds(lambda: sinkhorn(cost, epsilon=0.1, iterations=50))
    ways = {"as it is called": ours}
    if card.device == "cuda":
        from avcap.transport.one_launch import one_launch

        ways["its one launch"] = card.seconds(lambda: one_launch(cost / -0.1, log_a, log_b, iterations=50))
    ways["in many launches"] = card.seconds(lambda: log_domain(cost / -0.1, log_a, log_b, iterations=50))
    ways["one clip after another"] = card.seconds(lambda: one_by_one(cost, epsilon=0.1, iterations=50))
    for name, spent in ways.items():
        yield f"| Sinkhorn, {name} | {spent * 1e3:.3f} | {spent / ours:.1f} |"


def _cost(device: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    video, audio = (torch.randn(64, n, 768, generator=generator).to(device) for n in (20, 64))
    return 1 - cosine_similarity(video, audio)


def step(card: Card, name: str, clips: int, dtype: torch.dtype) -> str:
    """A training step of a system: its line of the table."""
    torch.manual_seed(0)
    with torch.device(card.device):
        system = SYSTEMS[name](clips, small=card.small)
    if dtype == torch.float32:
        system.model.float()
    run = systems.training_step(system, card.device, dtype)
    if card.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with operation_counter() as counting:
        run()
    spent = card.seconds(run)
    peak = f"{torch.cuda.max_memory_allocated() / 2**30:.1f}" if card.device == "cuda" else ""
    speed = counting.get_total_flops() / spent
    promised = card.promised[dtype]
    share = "" if promised is None else f"{speed / promised:.0%}"
    return (
        f"| {name} | {FORMATS[dtype]} | {clips} | {spent:.4f} | {clips / spent:.1f} | {peak} | {speed / 1e12:.1f} "
        f"| {speed / card.products[dtype]:.0%} | {share} |"
    )


def attempt(card: Card, name: str, clips: int, dtype: torch.dtype) -> str:
    """The line, or that it does not fit."""
    try:
        return step(card, name, clips, dtype)
    except torch.OutOfMemoryError:
        return f"| {name} | {FORMATS[dtype]} | {clips} | does not fit | | | | | |"
    finally:
        gc.collect()
        if card.device == "cuda":
            torch.cuda.empty_cache()


def main() -> None:
    """Measure and print."""
    begun = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=7.0)
    every = ["parity", "sinkhorn", *SYSTEMS]
    parser.add_argument("--only", nargs="+", choices=every, default=every)
    parser.add_argument("--small", action="store_true")
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False  # float32 is float32
    card = Card(args.device, steps=args.steps, small=args.small)
    named = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    most = ", ".join(f"{FORMATS[dtype]} {speed / 1e12:.1f} TFLOP/s" for dtype, speed in card.products.items())
    print(f"{named}, torch {torch.__version__}, medians of {args.steps}; matrix product: {most}")
    if "parity" in args.only:
        print("\n| CPU and card, float32 | relative difference | of the gradient |\n|---|---:|---:|")
        for line in parity(card):
            print(line, flush=True)
    if "sinkhorn" in args.only:
        print("\n| 64 clips, 20 x 64, 50 iterations | ms | times ours |\n|---|---:|---:|")
        for line in solvers(card):
            print(line, flush=True)
    names = [name for name in SYSTEMS if name in args.only]
    lines = [(name, clips, torch.bfloat16) for name in names for clips in SIZES[name]]
    lines += [
        (name, OWN[name], dtype)
        for name in names
        for dtype in FORMATS
        if OWN[name] not in SIZES[name] or dtype == torch.float32
    ]
    if names:
        print(
            "\n| system | precision | clips | s a step | clips/s | GiB | TFLOP/s | of product | MFU |\n|---|---|---:|---:|---:|---:|---:|---:|---:|"
        )
    for name, clips, dtype in lines:
        if time.monotonic() - begun > 60 * args.minutes:
            print(f"| {name} | {FORMATS[dtype]} | {clips} | no time | | | | | |")
        else:
            print(attempt(card, name, clips, dtype), flush=True)


if __name__ == "__main__":
    main()
