"""Small GIT decoders and tokens for the tests."""

from __future__ import annotations

import torch
from torch import Tensor

from avcap.decoders.git import GITCaptions, GITDecoder
from avcap.decoders.git_text import GITSize
from avcap.types import Tokens

WIDTH = 10
WORDS = 40
BOS, EOS = 1, 2


SIZE = GITSize(width=24, depth=2, heads=3, vocab_size=WORDS, positions=32)


def decoder(*, size: GITSize = SIZE, **changes: object) -> GITDecoder:
    """Two layers, 40 words, weights far from uniform so that every mistake shows."""
    torch.manual_seed(0)
    made = GITDecoder(WIDTH, size=size, **{"captions": GITCaptions(max_tokens=12), **changes}).eval()
    for name, parameter in made.named_parameters():
        if parameter.ndim > 1 or name.endswith("output_bias"):
            torch.nn.init.normal_(parameter, std=0.5)
    return made


def tokens(clips: int = 3, count: int = 7) -> Tokens:
    """Tokens without padding."""
    generator = torch.Generator().manual_seed(1)
    return Tokens(torch.randn(clips, count, WIDTH, generator=generator))


def texts(clips: int = 3, length: int = 6) -> Tensor:
    """Random ids behind the opening one."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(3, WORDS, (clips, length), generator=generator)
    ids[:, 0] = BOS
    return ids
