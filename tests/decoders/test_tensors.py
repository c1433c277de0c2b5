"""Decoders take plain tensors ``[B, N, C]`` in the place of tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from avcap.decoders import Decoder
from avcap.types import Tokens
from tests.decoders.conftest import CAPTIONS
from tests.decoders.git_parts import SIZE, decoder


@pytest.fixture(params=["CausalLMDecoder", "GITDecoder"])
def made(request: pytest.FixtureRequest, make, tokenizer_folder: Path) -> Decoder:
    if request.param == "CausalLMDecoder":
        return make()
    return decoder(size=replace(SIZE, vocab_size=None), tokenizer=str(tokenizer_folder))


def test_a_decoder_gives_the_same_for_tensors_and_tokens(made: Decoder) -> None:
    x = torch.randn(3, 7, made.input_width)
    assert torch.equal(made.loss(x, CAPTIONS), made.loss(Tokens(x), CAPTIONS))
    assert made.generate(x, num_beams=2) == made.generate(Tokens(x), num_beams=2)
    nbest = made.generate_nbest(tokens=x, count=2, num_beams=2)
    assert nbest == made.generate_nbest(Tokens(x), count=2, num_beams=2)


def test_a_tensor_of_another_shape_is_refused(made: Decoder) -> None:
    with pytest.raises(ValueError, match=r"tokens must be \[batch, tokens, channels\]; got a tensor of shape \[7, 4\]"):
        made.generate(torch.randn(7, 4))
