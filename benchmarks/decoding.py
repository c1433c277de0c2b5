"""Beam search of the GIT decoder at AVCap's size: remembered keys and values against everything anew at each step.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/decoding.py --threads 2

4 clips of 708 tokens, 4 beams, 20 words, width 768, 6 layers, 30522 words, float32, random weights. The official code has
no memory: each step runs 16 sequences of tokens and words through all layers. That takes minutes, so by default its first
and its last step are run and their mean is multiplied; --full runs all. Seconds are the processor time of this process
over its threads, so that other work on the machine disturbs little (a thread that waits must not spin: PASSIVE).
"""

from __future__ import annotations

import argparse
import time

import torch

from avcap.decoders import GeneratorBeamSearch, GITDecoder
from avcap.decoders.search_step import SearchStep, reorder_beams
from avcap.types import Tokens

CLIPS, TOKENS, BEAMS, WORDS, WIDTH, BOS = 4, 708, 4, 20, 768, 101
NEVER = -1  # no end word, so that every search has all steps


def recomputing(decoder: GITDecoder, tokens: Tokens) -> SearchStep:
    """A step that remembers only the ids, as the official code does."""
    ids = None

    def step(words: torch.Tensor, parents: torch.Tensor | None) -> torch.Tensor:
        nonlocal ids
        ids = words[:, :, None] if ids is None else torch.cat([reorder_beams(ids, parents), words[:, :, None]], dim=2)
        beams = words.shape[1]
        copies = Tokens(tokens.x.repeat_interleave(beams, dim=0))  # [B K, N, C]
        hidden = decoder.text(ids.flatten(0, 1), decoder.prefix(copies))[:, -1]
        return decoder.text.logits(hidden).unflatten(0, (-1, beams))

    return step


def seconds(action: object) -> float:
    """Processor time of a call, over the threads."""
    start = time.process_time()
    action()
    return (time.process_time() - start) / torch.get_num_threads()


@torch.no_grad()
def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--full", action="store_true", help="run every step of the recomputing search")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    decoder = GITDecoder(WIDTH).eval()
    tokens = Tokens(torch.randn(CLIPS, TOKENS, WIDTH))
    search, settings = GeneratorBeamSearch(), {"num_beams": BEAMS, "max_new_tokens": WORDS, "length_penalty": 0.6}
    bos = torch.full((CLIPS,), BOS)
    found = {}

    def cached() -> None:
        found["cached"] = search(decoder.stepper(tokens), bos=bos, eos=NEVER, settings=settings)

    def anew() -> None:
        found["anew"] = search(recomputing(decoder, tokens), bos=bos, eos=NEVER, settings=settings)

    def one_anew(length: int) -> None:
        ids = torch.full((CLIPS * BEAMS, length), BOS)
        decoder.text(ids, decoder.prefix(Tokens(tokens.x.repeat_interleave(BEAMS, dim=0))))

    seconds(lambda: decoder.stepper(tokens))  # warm up
    prefix = min(seconds(lambda: decoder.stepper(tokens)) for _ in range(2))
    quick = min(seconds(cached) for _ in range(2))
    if arguments.full:
        slow = seconds(anew)
        same = torch.equal(found["cached"].ids, found["anew"].ids)
        print(f"same captions: {same}")
    else:
        slow = WORDS * (seconds(lambda: one_anew(1)) + seconds(lambda: one_anew(WORDS))) / 2
    print(f"{'remembered':24} {quick:8.2f} s  (of these the tokens once: {prefix:.2f} s)")
    print(f"{'everything at each step':24} {slow:8.2f} s")
    print(f"{'ratio':24} {slow / quick:8.1f}")


if __name__ == "__main__":
    main()
