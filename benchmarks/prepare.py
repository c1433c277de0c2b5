"""Cost of `avcap data prepare` besides decoding: clips per second, of an update too, and peak memory at two sizes of the data set.

    python benchmarks/prepare.py --clips 500 --workers 2

The clips are short noises, so that decoding costs little: what is measured is the handling of many clips.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile

RATE = 16_000


def make(root: Path, clips: range) -> None:
    """Write clips of a twentieth of a second."""
    root.mkdir(exist_ok=True)
    for k in clips:
        noise = np.random.default_rng(k).normal(size=RATE // 20).astype(np.float32)
        soundfile.write(root / f"{k}.wav", 0.1 * noise, RATE)
    with (root / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file_name", "caption"))
        writer.writerows((f"{k}.wav", f"the noise number {k}") for k in range(clips.stop))


def measure(root: Path, workers: int, *options: str) -> tuple[float, float, float]:
    """Prepare; return the seconds, and the peak MiB that the main process and the largest worker have for themselves."""
    command = [sys.executable, "-m", "avcap", "data", "prepare", str(root), "--frames=0", "--progress=false", *options]
    started = time.perf_counter()
    main = subprocess.Popen([*command, f"--num_workers={workers}"], stdout=subprocess.DEVNULL)
    peak = {True: 0, False: 0}
    while main.poll() is None:
        try:
            process = psutil.Process(main.pid)
            for one in (process, *process.children(recursive=True)):
                peak[one.pid == main.pid] = max(peak[one.pid == main.pid], one.memory_full_info().uss)
        except psutil.Error:
            pass
        time.sleep(0.1)
    if main.returncode:
        raise SystemExit(f"{' '.join(command)} failed.")
    return time.perf_counter() - started, peak[True] / 2**20, peak[False] / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        print("   clips    prepare   update, 1 % changed   nothing to do   main process   worker")
        for count in (args.clips, 4 * args.clips):
            make(root, range(count))
            whole, memory, worker = measure(root, args.workers, "--overwrite=true")
            make(root, range(count // 100))
            with (root / "train.csv").open("a", newline="") as file:
                csv.writer(file).writerows((f"{k}.wav", f"the noise number {k}") for k in range(count // 100, count))
            update, *_ = measure(root, args.workers, "--update=true")
            nothing, *_ = measure(root, args.workers)
            print(
                f"{count:>8} {whole:>8.1f} s {update:>19.1f} s {nothing:>13.1f} s {memory:>10.0f} MiB {worker:>4.0f} MiB"
            )


if __name__ == "__main__":
    main()
