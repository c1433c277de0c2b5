"""DALI's objectives at their real size: batched, against one clip after another as the official code has it.

    python benchmarks/alignment.py [--clips 16] [--audio 512] [--image 576] [--width 1024] [--data gaussian] [--threads 2]

Forward and backward, the image tokens frozen. Every way runs in a process of its own, which reports the wall time, the
CPU time (to be looked at with ``--threads 1`` where the machine is busy; of several threads it counts the waiting too) and
the highest memory above that of its inputs.

The ways:

- official: POT's ``dist`` and ``emd2``, or ``cdist`` of the stacked tokens and five ``exp``, one clip after another
- ours by clip: our function called for one clip after another
- ours: our function called once

``--data clustered`` has tokens of low rank with far outliers in cost, on which Sinkhorn takes many more iterations.
The exit status is 1 where ours is slower than ``--require-transport`` or ``--require-mmd`` times the official way (wall time),
the transport cost is not within 1 % of the exact one, or the MMD differs by more than 1e-4.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from avcap.losses import AlignmentObjective, ExactTransport, MMDAlignment, OTAlignment
from avcap.types import Tokens


def tokens(args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Audio and image tokens ``[B, Na, C]``, ``[B, Nv, C]``."""
    torch.manual_seed(0)
    x, y = (torch.randn(args.clips, n, args.width) for n in (args.audio, args.image))
    if args.data == "clustered":  # 32 common directions, twice as strong as the noise
        basis = torch.randn(args.clips, 32, args.width) / 2
        x, y = (t + torch.randn(*t.shape[:2], 32) @ basis for t in (x, y))
    return x.to(args.device).requires_grad_(), y.to(args.device)


def official_transport(x: Tensor, y: Tensor) -> Tensor:
    """Costs ``[B]``, restated from the official code."""
    import ot

    a, b = (torch.full((t.shape[1],), 1 / t.shape[1], device=t.device) for t in (x, y))
    return torch.stack([ot.emd2(a, b, ot.dist(audio, image)) for audio, image in zip(x, y, strict=True)])


def official_mmd(x: Tensor, y: Tensor) -> Tensor:
    """Values ``[B]``, restated from the official code."""
    factors = 2.0 ** (torch.arange(5, device=x.device) - 2)
    values = []
    for audio, image in zip(x, y, strict=True):
        stacked, n = torch.vstack([audio, image]), len(audio)
        squares = torch.cdist(stacked, stacked) ** 2
        bandwidth = squares.detach().sum() / (len(stacked) * (len(stacked) - 1))
        kernel = torch.exp(-squares[None] / (bandwidth * factors)[:, None, None]).sum(dim=0)
        values.append(kernel[:n, :n].mean() - 2 * kernel[:n, n:].mean() + kernel[n:, n:].mean())
    return torch.stack(values)


def ours(x: Tensor, y: Tensor, *, objective: AlignmentObjective) -> Tensor:
    """Values ``[B]`` of the whole batch."""
    return objective(Tokens(x), Tokens(y), epoch=1).per_clip


def by_clip(x: Tensor, y: Tensor, *, objective: AlignmentObjective) -> Tensor:
    """Values ``[B]``, one clip after another."""
    return torch.cat([ours(x[i : i + 1], y[i : i + 1], objective=objective) for i in range(len(x))])


WAYS: dict[str, dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "transport": {
        "official, exact": official_transport,
        "ours, exact": partial(ours, objective=OTAlignment(distance=ExactTransport())),
        "ours by clip, Sinkhorn": partial(by_clip, objective=OTAlignment()),
        "ours, Sinkhorn": partial(ours, objective=OTAlignment()),
    },
    "mmd": {
        "official": official_mmd,
        "ours by clip": partial(by_clip, objective=MMDAlignment()),
        "ours": partial(ours, objective=MMDAlignment()),
    },
}


def peak_bytes(device: str) -> int:
    """The most memory that this process has used so far: the accelerator's, or the resident one."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def measure(args: argparse.Namespace, objective: str, way: str) -> dict[str, Any]:
    """Times, memory and values of one way."""
    torch.set_num_threads(args.threads)
    function = WAYS[objective][way]
    x, y = tokens(args)
    function(x[:1, :8], y[:1, :8]).sum().backward()  # imports, threads
    before, wall, cpu = peak_bytes(args.device), [], []
    for _ in range(args.repeats):
        x.grad = None
        start = time.perf_counter(), time.process_time()
        values = function(x, y)
        values.mean().backward()
        if args.device != "cpu":
            torch.cuda.synchronize()
        wall.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    return {
        "wall": statistics.median(wall),
        "cpu": statistics.median(cpu),
        "memory": peak_bytes(args.device) - before,
        "values": values.tolist(),
    }


def table(args: argparse.Namespace, objective: str) -> dict[str, dict[str, Any]]:
    """Measure all ways, each in a fresh process, and print them."""
    found = {}
    for way in WAYS[objective]:
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # fresh, or the memory of one would hide the next
            found[way] = pool.apply(measure, (args, objective, way))
    first = next(iter(found.values()))
    print(f"{objective:24} {'wall ms':>9} {'times':>6} {'CPU ms':>9} {'times':>6} {'MB':>7}   value against the first")
    for way, row in found.items():
        gaps = [value / exact - 1 for value, exact in zip(row["values"], first["values"], strict=True)]
        print(
            f"{way:24} {row['wall'] * 1e3:9.0f} {first['wall'] / row['wall']:6.1f} {row['cpu'] * 1e3:9.0f} "
            f"{first['cpu'] / row['cpu']:6.1f} {row['memory'] / 1e6:7.0f}   {min(gaps):+.3%} to {max(gaps):+.3%}"
        )
    return found


def main() -> int:
    """Measure and print; 0 where ours is fast enough and right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {"clips": 16, "audio": 512, "image": 576, "width": 1024, "threads": 2, "repeats": 3}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--tokens", type=int, help="both --audio and --image, for a quick run")
    parser.add_argument("--data", choices=["gaussian", "clustered"], default="gaussian")
    parser.add_argument("--require-transport", type=float, default=3.0)
    parser.add_argument("--require-mmd", type=float, default=2.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="print the figures as one line of JSON too")
    args = parser.parse_args()
    if args.tokens:
        args.audio = args.image = args.tokens
    print(
        f"{args.clips} clips, {args.audio} x {args.image} tokens of width {args.width}, {args.data}; {args.device}, "
        f"{args.threads} threads, torch {torch.__version__}, medians of {args.repeats}, forward and backward"
    )
    figures = {objective: table(args, objective) for objective in WAYS}
    if args.json:
        print(json.dumps(figures))
    exact, sinkhorn = (figures["transport"][way] for way in ("official, exact", "ours, Sinkhorn"))
    official, mmd = (figures["mmd"][way] for way in ("official", "ours"))
    near = all(abs(v / e - 1) <= 0.01 for v, e in zip(sinkhorn["values"], exact["values"], strict=True))
    equal = all(abs(v - e) <= 1e-4 for v, e in zip(mmd["values"], official["values"], strict=True))
    fast = (
        exact["wall"] / sinkhorn["wall"] >= args.require_transport
        and official["wall"] / mmd["wall"] >= args.require_mmd
    )
    return 0 if near and equal and fast else 1


if __name__ == "__main__":
    sys.exit(main())
