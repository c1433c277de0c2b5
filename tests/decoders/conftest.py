"""A small tokenizer and a small language model, made on the spot."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from avcap.decoders.causal_lm import CausalLMDecoder
from avcap.types import Tokens

CAPTIONS = ["a dog barks while rain falls", "a bell rings", "an engine idles and then a siren wails in the distance"]
WIDTH = 12


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(CAPTIONS * 3, vocab_size=320, special_tokens=["<pad>", "<s>", "</s>", "<unk>"])
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    folder = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, **names).save_pretrained(folder)
    return folder


@pytest.fixture
def make(tokenizer_folder: Path):
    def build(**changes: object) -> CausalLMDecoder:
        config = {
            "model_type": "llama",
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "initializer_range": 0.3,  # far from uniform, so that every mistake shows
        }
        config |= changes.pop("llama", {})
        width = changes.pop("input_width", WIDTH)
        torch.manual_seed(0)
        arguments = {
            "config": config,
            "tokenizer": str(tokenizer_folder),
            "generation": {"max_new_tokens": 12},
        } | changes
        return CausalLMDecoder(width, **arguments).eval()

    return build


@pytest.fixture
def tokens() -> Tokens:
    """Three clips of 7 tokens, with holes."""
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(3, 7, dtype=torch.bool)
    mask[1, 4:] = False
    mask[2, :3] = False
    return Tokens(torch.randn(3, 7, WIDTH, generator=generator), mask)
