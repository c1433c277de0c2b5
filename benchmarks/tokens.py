"""Clips per second of a frozen audio and a frozen visual encoder in training: from recordings and frames, and from stored tokens.

    python benchmarks/tokens.py --clips 4 --batch 2

CED-base and CLIP ViT-L/14 with random weights; clips of 10 s of noise and frames of 224 pixels. Both ways read shards with
one worker and end with the tokens of both encoders on the device; the first batch does not count. The tokens are read
again and again until they have taken a second.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import torch

from avcap.commands.derive import derive_tokens
from avcap.data import AudioCapsDataModule, FrameChoice
from avcap.data.collate import move
from avcap.data.token_columns import TokenJob, find_tokens
from avcap.encoders import CEDEncoder, CLIPVisual, Encoder
from avcap.models.frozen import token_name
from avcap.models.parts import encode, inputs_of
from avcap.shards.item import Item
from avcap.shards.reader import ShardInfo, Shards
from avcap.shards.writer import write_split


def clip(frames: int, index: int) -> Item:
    generator = torch.Generator().manual_seed(index)
    wave = 0.1 * torch.randn(160_000, generator=generator)
    pictures = torch.randint(0, 256, (frames, 3, 224, 224), dtype=torch.uint8, generator=generator)
    return Item(f"clip{index}_0", ["noise is heard"], 10.0, waveform=wave, frames=pictures)


def rate(data: AudioCapsDataModule, encoders: list[Encoder], device: torch.device, args: argparse.Namespace) -> float:
    clips, seconds = 0, 0.0
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=args.dtype == "bfloat16"):
        while seconds < 1:
            for number, batch in enumerate(data.train_dataloader()):
                if number == 1:
                    start = time.perf_counter()
                moved = move(batch, device)
                tokens = [encode(encoder, moved) for encoder in encoders]
                tokens[0].x.sum().item()  # the device is done
                tokens[1].x.sum().item()
                clips += len(batch["id"]) if number else 0
            seconds += time.perf_counter() - start
    return clips / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoders: list[Encoder] = [CEDEncoder(frozen=True), CLIPVisual()]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_split(
            folder,
            ShardInfo("train", args.frames, 224, plan="benchmark"),
            range(args.clips),
            partial(clip, args.frames),
            num_workers=0,
            progress=False,
        )
        shards = Shards(folder / "train")
        for encoder in encoders:
            encoder.to(device).eval()
        data = AudioCapsDataModule(folder, batch_size=args.batch, num_workers=1).serve(inputs_of(encoders))
        raw = rate(data, encoders, device, args)
        for encoder in encoders:
            derive_tokens(shards, encoder, FrameChoice(), TokenJob(args.dtype, args.batch, 1), device)
        dataset = data.dataset("train", training=True)
        columns = {encoder.input: find_tokens(dataset, encoder.input, token_name(encoder)) for encoder in encoders}
        data._tokens = lambda _: columns  # type: ignore[method-assign, assignment, return-value]  # there is no trainer to ask
        stored = rate(data, encoders, device, args)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{where}, {args.dtype}, {args.frames} frames: encoders {raw:.2f} clips/s, tokens {stored:.0f} clips/s, ratio {stored / raw:.0f}"
    )


if __name__ == "__main__":
    main()
