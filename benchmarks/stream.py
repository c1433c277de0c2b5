"""Clips per second of the data module from shards of AudioCaps's size, against litdata's reader for the same records.

    python benchmarks/stream.py --clips 2000 --workers 2              # quick
    python benchmarks/stream.py --clips 49838 --workers 2             # 13 GB on the disk

Makes clips with 64 x 768 tokens of sound and 20 x 768 of pictures in float16 (129 kB), once in the records of shards and once in
two token columns, and reads them in the random order of training: ``records`` and ``columns`` by positioned reads, ``litdata``
the same records through ``litdata.StreamingDataset``. Clips/s and CPU time are of an epoch (at most ``--batches``) after the
first batch; the first batch is counted from the making of the data module; memory is the largest sum
over all processes. litdata maps its files, so that it has no read calls to be counted.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import torch

from avcap.data import AudioCapsDataModule
from avcap.data.token_columns import TokenJob, write_tokens
from avcap.frontends import Inputs
from avcap.shards.derived import DerivedColumn
from avcap.shards.item import Item
from avcap.shards.reader import ShardInfo, Shards
from avcap.shards.writer import write_split
from avcap.types import Tokens

SOUND, PICTURES, WIDTH = 64, 20, 768
KEYS = ("audio", "frames")
NOISE = torch.randn(4_000_000, generator=torch.Generator().manual_seed(0)).half()


def tokens(index: int, count: int) -> torch.Tensor:
    """Noise ``[count, 768]`` float16 of a clip, cut from a stock."""
    start = (index * 7919 * WIDTH) % (len(NOISE) - count * WIDTH)
    return NOISE[start : start + count * WIDTH].view(count, WIDTH)


def clip(index: int) -> Item:
    return Item(
        f"clip{index:011d}_0", ["noise is heard"] * 5, 10.0, visual_features=tokens(index, SOUND + PICTURES).float()
    )


class Plain:
    """What :func:`write_tokens` needs of a data set: clips without content."""

    timed = training = False
    transforms = ()

    def __init__(self, shards: Shards) -> None:
        self.shards = shards

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"id": str(index), "audio": torch.full((1, 1), index)}


def make(folder: Path, clips: int) -> None:
    info = ShardInfo("train", frames=0, size=16, plan="benchmark")
    write_split(folder, info, range(clips), clip, num_workers=0, progress=False)
    dataset: Any = Plain(Shards(folder / "train"))
    for name, count in (("sound_tokens-0", SOUND), ("picture_tokens-0", PICTURES)):

        def encode(batch: Any, count: int = count) -> Tokens:
            rows = [tokens(int(index), count) for index in batch["id"]]
            return Tokens(
                torch.stack(rows), torch.ones(len(rows), count, dtype=torch.bool), torch.zeros(len(rows), count)
            )

        write_tokens(dataset, "audio", name, encode, TokenJob("float16", num_workers=0), progress=False)


class Watch:
    """The largest memory of this process and its children, and what the children read."""

    def __init__(self) -> None:
        self.memory = self.read = 0
        self.cost = 0.0  # CPU seconds of looking, which are no part of what is measured
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def look(self) -> None:
        me, start = psutil.Process(), time.thread_time()
        try:
            self.memory = max(self.memory, sum(p.memory_full_info().pss for p in (me, *me.children())))
            self.read = sum(p.io_counters().read_chars for p in me.children())
        except psutil.Error:
            pass  # a worker that has just ended
        self.cost += time.thread_time() - start

    def _run(self) -> None:
        while not self._end.wait(1.0):
            self.look()


def cpu_seconds() -> float:
    me = psutil.Process()
    return sum(sum(p.cpu_times()[:2]) for p in (me, *me.children()))


def measure(folder: Path, way: str, args: argparse.Namespace) -> float:
    begin = time.perf_counter()
    keys = KEYS if way == "columns" else ("visual_features",)
    data = AudioCapsDataModule(folder, batch_size=args.batch, num_workers=args.workers).serve(Inputs(None, keys))
    if way == "columns":
        shards = Shards(folder / "train")
        derived = folder / "train" / "derived"
        names = ("sound_tokens-0", "picture_tokens-0")
        data.dataset("train", training=True).use_tokens(
            {key: DerivedColumn(derived / name, shards) for key, name in zip(KEYS, names, strict=True)}
        )
        data._tokens = lambda dataset: dataset._tokens  # type: ignore[method-assign]  # there is no model to ask
    loader = data.train_dataloader()
    with Watch() as watch:
        batches = iter(loader)
        next(batches)
        first = time.perf_counter() - begin
        watch.look()
        cpu, start, clips, content = cpu_seconds() - watch.cost, time.perf_counter(), 0, 0
        for number, batch in enumerate(batches, 2):
            clips += len(batch["id"])
            content = sum(x.nbytes for x in batch.values() if isinstance(x, torch.Tensor)) // len(batch["id"])
            if number in (args.batches, len(loader) - 1):
                break
        seconds, cpu = time.perf_counter() - start, cpu_seconds() - watch.cost - cpu
        watch.look()
    rate = clips / seconds
    begun = min(len(loader), number + args.workers * 2) * args.batch  # clips that workers have read by now
    print(
        f"{way:8} {rate:8.0f} clips/s  {clips / cpu:8.0f} clips/CPU s  {watch.read / begun / 1e3:6.0f} kB/clip by read calls  "
        f"{content / 1e3:6.0f} kB/clip in the batch  first batch {first:5.1f} s  memory {watch.memory / 2**30:4.2f} GiB",
        flush=True,
    )
    return rate


def litdata_record(shards: Shards, index: int, *_: object) -> Any:
    """Read a record with litdata, opened once in each process."""
    from litdata import StreamingDataset

    key = os.getpid(), shards.folder
    if key not in OPENED:
        OPENED[key] = StreamingDataset(str(shards.folder), shuffle=False)
    return OPENED[key][index]


OPENED: dict[Any, Any] = {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--batches", type=int, default=0, help="batches of each way; 0: an epoch")
    parser.add_argument("--folder", type=Path, help="keep the shards here, or take those that are there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        folder = args.folder or Path(made)
        if not (folder / "train").is_dir():
            start = time.perf_counter()
            make(folder, args.clips)
            print(f"{args.clips} clips made in {time.perf_counter() - start:.0f} s", flush=True)
        rates = {way: measure(folder, way, args) for way in ("columns", "records")}
        Shards.record = litdata_record  # type: ignore[assignment, method-assign]
        args.batches = min(args.batches or 40, 40)
        rates["litdata"] = measure(folder, "litdata", args)
        print(
            f"records / litdata {rates['records'] / rates['litdata']:.1f}, columns / litdata {rates['columns'] / rates['litdata']:.1f}"
        )


if __name__ == "__main__":
    main()
