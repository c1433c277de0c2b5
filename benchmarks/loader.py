"""Clips per second of the loader: features from a derived column against features computed in its workers.

    python benchmarks/loader.py --clips 96 --workers 1

Makes clips of 10 s of noise without pictures, and reads them by turns both ways: the medians of the rounds, for the front
ends of LAVCap and AVCap, and their ratio within this run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from avcap.data import AudioCapsDataModule
from avcap.frontends import Inputs, KaldiFbank
from avcap.shards.derived import folder_of, write_column
from avcap.shards.item import Item
from avcap.shards.reader import ShardInfo, Shards
from avcap.shards.writer import write_split

SECONDS, ROUNDS = 10, 3


def clip(index: int) -> Item:
    """Ten seconds of noise that swells and fades, as loud as a recording is."""
    noise = torch.randn(16_000 * SECONDS, generator=torch.Generator().manual_seed(index))
    swell = torch.linspace(0, 40, len(noise)).sin().square()
    return Item(f"clip{index}_0", ["noise"], float(SECONDS), waveform=0.1 * noise * swell)


def epoch(shards: Path, frontend: KaldiFbank, workers: int) -> Callable[[], float]:
    """Return a reading of all batches of an epoch; it returns the clips per second after the first, so that the start of workers does not count."""

    def read() -> float:
        data = AudioCapsDataModule(shards, batch_size=8, num_workers=workers).serve(Inputs(frontend))
        batches = iter(data.train_dataloader())
        next(batches)
        start = time.perf_counter()
        clips = sum(len(batch["id"]) for batch in batches)
        return clips / (time.perf_counter() - start)

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=96)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        shards = Path(folder)
        info = ShardInfo("train", frames=0, size=16, plan="benchmark")
        write_split(shards, info, range(args.clips), clip, num_workers=0, progress=False)
        split = Shards(shards / "train")
        for mels in (64, 128):
            frontend = KaldiFbank(mels)
            write_column(split, frontend, num_workers=0, progress=False)
            column, aside = folder_of(split, frontend), shards / "aside"
            kept, computed = [], []
            for _ in range(ROUNDS):
                kept.append(epoch(shards, frontend, args.workers)())
                column.rename(aside)
                computed.append(epoch(shards, frontend, args.workers)())
                aside.rename(column)
            one, other = statistics.median(kept), statistics.median(computed)
            print(
                f"{mels:>4} mel bins: column {one:7.1f} clips/s, computed {other:7.1f} clips/s, ratio {one / other:5.1f}"
            )


if __name__ == "__main__":
    main()
