"""How fast the batched Sinkhorn solver is, against one clip after another, POT and geomloss.

    python benchmarks/sinkhorn.py [--batch 64] [--frames 20] [--audio 64] [--iterations 50] [--threads 2]

The problem is LAVCap's: 20 visual and 64 audio tokens of width 768, cosine costs, epsilon 0.1. The loop is the plain
formulation, one clip after another on log scalings. The exit status is 1 where the solver is less than ``--require``
times as fast as the loop, or a plan differs from POT's or the loop's by more than 1e-5.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from avcap.transport import cosine_similarity, sinkhorn, sinkhorn_divergence


def one_by_one(cost: Tensor, *, epsilon: float, iterations: int) -> Tensor:
    """Log plans ``[B, n, m]``, one clip after another."""
    plans = []
    for z in cost / -epsilon:
        log_a, log_b = -math.log(z.shape[0]), -math.log(z.shape[1])
        u, v = z.new_zeros(z.shape[0]), z.new_zeros(z.shape[1])
        for _ in range(iterations):
            u = log_a - torch.logsumexp(z + v.unsqueeze(0), dim=1)
            v = log_b - torch.logsumexp(z + u.unsqueeze(1), dim=0)
        plans.append(z + u.unsqueeze(1) + v.unsqueeze(0))
    return torch.stack(plans)


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Median wall time of ``repeats`` runs, after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def pot_plan(cost: Tensor, *, epsilon: float, iterations: int) -> Tensor:
    """POT's plans ``[B, n, m]`` in float64, one problem at a time; transposed, so that rows are updated first."""
    import numpy as np
    import ot

    a, b = (np.full(n, 1 / n) for n in cost.shape[1:])
    plans = [
        ot.bregman.sinkhorn_log(b, a, c.T, epsilon, numItermax=iterations, stopThr=0, warn=False).T
        for c in cost.cpu().double().numpy()
    ]
    return torch.from_numpy(np.stack(plans))


def main() -> int:
    """Measure and print; 0 where the solver is fast enough and right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"batch": 64, "frames": 20, "audio": 64, "iterations": 50, "threads": 2, "repeats": 15}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--epsilon", type=float, default=0.1)
    parser.add_argument("--require", type=float, default=20.0)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    setting = {"epsilon": args.epsilon, "iterations": args.iterations}
    video = torch.randn(args.batch, args.frames, 768, device=args.device)
    seen_with = torch.arange(args.audio, device=args.device) * args.frames // args.audio  # [audio]
    audio = video[:, seen_with] + torch.randn(args.batch, args.audio, 768, device=args.device)  # sounds like its frame
    cost = 1 - cosine_similarity(video, audio)

    def pot_batch() -> object:
        import ot.batch

        return ot.batch.solve_batch(
            cost, reg=args.epsilon, max_iter=args.iterations, tol=0.0, method="log_sinkhorn", grad="detach"
        )

    def geomloss_divergence() -> object:
        return sinkhorn_divergence(video, audio, blur=math.sqrt(args.epsilon))

    with torch.no_grad():
        plan = sinkhorn(cost, **setting).plan
        against_pot = (plan.cpu() - pot_plan(cost, **setting)).abs().max().item()
        against_loop = (plan - one_by_one(cost, **setting).exp()).abs().max().item()
        loop = median_seconds(lambda: one_by_one(cost, **setting), max(3, args.repeats // 3))
        ours = median_seconds(lambda: sinkhorn(cost, **setting), args.repeats)
        others = {
            "POT, ot.batch (same iterations)": median_seconds(pot_batch, args.repeats),
            "geomloss divergence (three problems, annealed)": median_seconds(geomloss_divergence, args.repeats),
        }
    grown = cost.clone().requires_grad_()
    others["ours, gradient through all iterations"] = median_seconds(
        lambda: sinkhorn(grown, grad="autodiff", **setting).plan.square().sum().backward(), args.repeats
    )

    print(
        f"{args.batch} clips, {args.frames} x {args.audio} tokens, {args.iterations} iterations, epsilon {args.epsilon}"
    )
    print(f"{args.device}, {args.threads} threads, torch {torch.__version__}, medians of {args.repeats}")
    print(f"{'one clip after another':48} {loop * 1e3:9.2f} ms")
    print(f"{'ours, batched':48} {ours * 1e3:9.2f} ms   {loop / ours:.1f} times as fast (required: {args.require:g})")
    for name, seconds in others.items():
        print(f"{name:48} {seconds * 1e3:9.2f} ms")
    print(f"largest difference of the plans: POT {against_pot:.1e}, loop {against_loop:.1e} (allowed: 1e-5)")
    return 0 if loop / ours >= args.require and max(against_pot, against_loop) <= 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main())
