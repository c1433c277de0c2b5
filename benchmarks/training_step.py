"""One training step of AVCap at its published size: seconds and peak memory, with the text decoder tuned or frozen.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/training_step.py --threads 2

CAV-MAE with 11 + 1 blocks, GIT with 6 layers, 4 clips (10 s of sound, 1 frame), 20 text tokens, float32, AdamW with its
two moments. Each variant runs in a process of its own, whose peak resident memory is told. Seconds are processor time
over the threads, of the second step (the first allocates).
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time

import torch

from avcap.decoders import GITDecoder
from avcap.decoders.git_text import GITDropout
from avcap.encoders import CAVMAEAudio, CAVMAEVisual
from avcap.fusion import TokenConcat

CLIPS, LENGTH, WIDTH, VOCABULARY = 4, 20, 768, 30522
VARIANTS = {
    "text decoder tuned": {},
    "text decoder frozen": {"frozen": True},
    "tuned, attention dropout 0.1": {"dropout": GITDropout(attention=0.1)},
}


def step(name: str, threads: int) -> tuple[float, float, float]:
    """Seconds of a step, peak memory in GB, and the loss of the second step."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    audio, visual, fusion = CAVMAEAudio(), CAVMAEVisual(), TokenConcat(WIDTH, WIDTH)
    model = torch.nn.ModuleList([audio, visual, fusion, GITDecoder(WIDTH, **VARIANTS[name])]).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    fbank = torch.randn(CLIPS, 1024, 128)
    frames = torch.randint(0, 256, (CLIPS, 1, 3, 224, 224), dtype=torch.uint8)
    ids = torch.randint(1000, VOCABULARY, (CLIPS, LENGTH))
    predicted = torch.ones(CLIPS, LENGTH, dtype=torch.bool)
    for _ in range(2):
        start = time.process_time()
        optimizer.zero_grad()
        fused = fusion(audio(fbank), visual(frames))
        loss = model[3].loss_of_ids(fused.tokens, ids, predicted)
        loss.backward()
        optimizer.step()
        seconds = (time.process_time() - start) / threads
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, loss.item()


def main() -> None:
    """Measure the variants, one process each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    threads = parser.parse_args().threads
    print(f"{'variant':30} {'s/step':>8} {'peak GB':>8}")
    for name in VARIANTS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, peak, _ = pool.apply(step, (name, threads))
        print(f"{name:30} {seconds:8.2f} {peak:8.2f}", flush=True)


if __name__ == "__main__":
    main()
