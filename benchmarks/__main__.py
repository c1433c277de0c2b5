"""What avcap costs on this machine: one table, each line beside the plain way and beside a matrix product.

    python -m benchmarks [--quick] [--threads 1] [--only sinkhorn dali ...] [--json FILE]

With one thread the seconds are processor time, so that other programs disturb little; with more they are times on the wall,
of worth on a quiet machine only. A line is measured in a process of its own: ours and the plain way take turns, and medians
count; the best of ten matrix products of 2048 x 2048 in the same number format, before and after, is what the machine can do. ``share`` is the speed of our matrix products and
attentions (``FlopCounterMode`` counts them), everything else in between included, beside that of the matrix product.
``times`` is the plain way's time over ours. ``--quick`` has one clip a batch, and ends in a few minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that waits takes no processor time
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / place) for place in ("src", "")]

import torch  # noqa: E402

from benchmarks import rows  # noqa: E402
from benchmarks.measuring import HEAD, alone  # noqa: E402

LINES = {
    "sinkhorn": [(rows.sinkhorn_solver,)],
    "dali": [(rows.dali_transport,)],
    "metrics": [(rows.metrics,)],
    "loader": [(rows.loader,)],
    "decoding": [(rows.avcap_decoding,)],
    "lavcap": [(rows.lavcap_step,)],
    "avcap": [(rows.avcap_step, dtype, frozen) for dtype in ("float32", "bfloat16") for frozen in (False, True)],
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=LINES, default=list(LINES))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    kind = "processor time" if args.threads == 1 else "time on the wall"
    print(
        f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, {args.threads} threads ({kind}), torch {torch.__version__}\n"
    )
    print(HEAD)
    found = []
    for name in args.only:
        for function, *settings in LINES[name]:
            found.append(alone(function, args.quick, *settings, threads=args.threads))
            print(found[-1], flush=True)
    if args.json:
        args.json.write_text(json.dumps([line._asdict() for line in found], indent=1) + "\n")


if __name__ == "__main__":
    main()
