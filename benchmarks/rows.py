"""The lines of the table of :mod:`benchmarks`; each function runs in a process of its own."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from avcap import GITDecoder
from avcap.decoders import GeneratorBeamSearch
from avcap.decoders.search_step import SearchStep, reorder_beams
from avcap.types import Tokens
from benchmarks.measuring import DTYPES, GEMM, Row, by_turns, memory, operations, product
from benchmarks.systems import LAYERS, avcap, lavcap, training_step

BOS, NEVER = 101, -1  # NEVER: no end word, so that every search has all steps


def row(
    what: str,
    ours: Callable[[], object],
    plain: Mapping[str, Callable[[], object]] | None = None,
    *,
    rounds: int,
    flops: float = 0,
    dtype: str = "float32",
    times: float = 1,
) -> Row:
    """Time ours, the plain way (``times`` as long as what is run of it) and a matrix product by turns."""
    ways = {"ours": ours, **(plain or {}), **({"product": product(dtype)} if flops else {})}
    found = by_turns(ways, rounds)
    peak = 2 * GEMM**3 / found["product"] if flops else None
    name = next(iter(plain or {}), "")
    return Row(
        what,
        found["ours"],
        name,
        found[name] * times if name else None,
        flops / found["ours"] / peak if peak else None,
        peak / 1e9 if peak else None,
        memory(),
    )


# -- training and decoding ------------------------------------------------------------------------------------------------------


def avcap_step(quick: bool, dtype: str, frozen: bool) -> Row:
    """AVCap's training step: 4 clips (quick: 1) of 10 s with one frame and 20 words."""
    torch.manual_seed(0)
    clips = 1 if quick else 4
    step = training_step(avcap(clips, frozen=frozen), "cpu", DTYPES[dtype])
    what = f"AVCap training step, {clips} clips, decoder {'frozen' if frozen else 'tuned'}, {dtype}"
    return row(what, step, rounds=3 if quick else 2, flops=operations(step), dtype=dtype)


def recomputing(decoder: GITDecoder, tokens: Tokens) -> SearchStep:
    """A step that remembers only the ids, as the official code does: all tokens and words of all beams anew."""
    ids = None

    def step(words: torch.Tensor, parents: torch.Tensor | None) -> torch.Tensor:
        nonlocal ids
        ids = words[:, :, None] if ids is None else torch.cat([reorder_beams(ids, parents), words[:, :, None]], dim=2)
        beams = words.shape[1]
        copies = Tokens(tokens.x.repeat_interleave(beams, dim=0))  # [B K, N, C]
        hidden = decoder.text(ids.flatten(0, 1), decoder.prefix(copies))[:, -1]
        return decoder.text.logits(hidden).unflatten(0, (-1, beams))

    return step


@torch.inference_mode()
def avcap_decoding(quick: bool) -> Row:
    """AVCap's beam search: 4 clips (quick: 1) of 708 tokens, 4 beams, 20 words; of the plain way two steps are run."""
    torch.manual_seed(0)
    clips, words = 1 if quick else 4, 20
    decoder, tokens = GITDecoder(768).eval(), Tokens(torch.randn(clips, 708, 768))
    search, bos = GeneratorBeamSearch(), torch.full((clips,), BOS)

    def of(step: Callable[[Tokens], SearchStep], steps: int) -> Callable[[], object]:
        settings = {"num_beams": 4, "max_new_tokens": steps, "length_penalty": 0.6}
        return lambda: search(step(tokens), bos=bos, eos=NEVER, settings=settings)

    anew = {"all anew at each step": of(lambda x: recomputing(decoder, x), 2)}
    ours = of(decoder.stepper, words)
    what = f"AVCap beam search, {clips} clips, {words} words"
    return row(what, ours, anew, rounds=1 if quick else 3, flops=operations(ours), times=words / 2)


def lavcap_step(quick: bool) -> Row:
    """LAVCap's LoRA step with a few of its language model's layers: 4 clips and 2 layers (quick: 1 and 1), 40 words."""
    torch.manual_seed(0)
    clips, layers = (1, 1) if quick else (4, 2)
    ours, plain = (
        training_step(lavcap(clips, layers=layers, dtype=dtype), "cpu", DTYPES[dtype])
        for dtype in ("bfloat16", "float32")
    )
    what = f"LAVCap LoRA step, {clips} clips, {layers} of LLaMA-2-7B's {LAYERS} layers, bfloat16"
    return row(what, ours, {"float32": plain}, rounds=2, flops=operations(ours), dtype="bfloat16")


# -- DALI and the solvers ---------------------------------------------------------------------------------------


def dali_transport(quick: bool) -> Row:
    """DALI's transport with its gradient: clips of 512 x 576 tokens of width 1024."""
    from avcap.losses import OTAlignment
    from benchmarks.alignment import official_transport, ours

    torch.manual_seed(0)
    clips = 2 if quick else 8
    x, y = torch.randn(clips, 512, 1024).requires_grad_(), torch.randn(clips, 576, 1024)
    objective = OTAlignment()

    def run(function: Callable[[], torch.Tensor]) -> Callable[[], None]:
        def both() -> None:
            x.grad = None
            function().mean().backward()

        return both

    quicker, exact = run(lambda: ours(x, y, objective=objective)), run(lambda: official_transport(x, y))
    what, plain = f"DALI transport, {clips} clips, 512 x 576", {"POT, one clip after another": exact}
    return row(what, quicker, plain, rounds=5, flops=4 * x.numel() * y.shape[1])  # the costs, and the gradient


@torch.no_grad()
def sinkhorn_solver(quick: bool) -> Row:
    """LAVCap's Sinkhorn: 64 clips of 20 x 64 tokens, 50 iterations."""
    import ot.batch

    from avcap.transport import sinkhorn

    torch.manual_seed(0)
    cost = torch.rand(64, 20, 64)
    settings = {"max_iter": 50, "tol": 0.0, "grad": "detach"}
    theirs = {"POT's batched solver": lambda: ot.batch.solve_batch(cost, reg=0.1, method="log_sinkhorn", **settings)}
    ours = lambda: sinkhorn(cost, epsilon=0.1, iterations=50)  # noqa: E731
    return row("Sinkhorn, 64 clips, 20 x 64, 50 iterations", ours, theirs, rounds=5 if quick else 15)


# -- around the model -------------------------------------------------------------------------------------------


def loader(quick: bool) -> Row:
    """Reading 64-mel spectrograms of 10 s from a column (plain: computing them) in the main process, an epoch."""
    from avcap.frontends import KaldiFbank
    from avcap.shards.derived import folder_of, write_column
    from avcap.shards.reader import ShardInfo, Shards
    from avcap.shards.writer import write_split
    from benchmarks.loader import clip, epoch

    clips = 32 if quick else 96
    with tempfile.TemporaryDirectory() as folder:
        shards, frontend = Path(folder), KaldiFbank(64)
        info = ShardInfo("train", frames=0, size=16, plan="benchmark")
        write_split(shards, info, range(clips), clip, num_workers=0, progress=False)
        computed = epoch(shards, frontend, 0)
        split = Shards(shards / "train")
        write_column(split, frontend, num_workers=0, progress=False)
        column, aside = folder_of(split, frontend), shards / "aside"

        def without() -> None:
            column.rename(aside)
            try:
                epoch(shards, frontend, 0)()
            finally:
                aside.rename(column)

        computed()
        return row(f"loader, {clips} clips", epoch(shards, frontend, 0), {"computed from the sound": without}, rounds=3)


def metrics(quick: bool) -> Row:
    """BLEU, ROUGE-L and CIDEr-D of made-up captions with five references each, on words that are split already."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    from avcap.metrics.bleu import bleu
    from avcap.metrics.cider import CiderD
    from avcap.metrics.rouge import rouge_l

    drawn, words = random.Random(0), [f"word{k}" for k in range(400)]
    clips = 200 if quick else 944
    captions = [" ".join(drawn.choices(words, k=10)) for _ in range(clips)]
    references = [[" ".join(drawn.choices(words, k=10)) for _ in range(5)] for _ in captions]

    def ours() -> None:
        bleu(captions, references)
        rouge_l(captions, references)
        CiderD(references).scores(captions)

    def theirs() -> None:
        truth, said = dict(enumerate(references)), {k: [text] for k, text in enumerate(captions)}
        Bleu(4).compute_score(truth, said, verbose=0)
        Rouge().compute_score(truth, said)
        Cider().compute_score(truth, said)

    return row(f"BLEU, ROUGE-L, CIDEr-D of {clips} captions", ours, {"pycocoevalcap": theirs}, rounds=3)
