"""Other architectures of transformers behind the same decoder: padding changes nothing, beams equal Hugging Face's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig

from avcap.decoders.causal_lm import CausalLMDecoder
from avcap.types import Tokens
from tests.decoders.conftest import CAPTIONS, WIDTH

ROTARY = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
LEARNED = {"max_position_embeddings": 512, "init_std": 0.3}
CONFIGS = [
    {"model_type": "mistral", **ROTARY, "sliding_window": 512},
    {"model_type": "qwen2", **ROTARY},
    {"model_type": "qwen3", **ROTARY},
    {"model_type": "gemma", **ROTARY},
    {"model_type": "gemma2", **ROTARY, "sliding_window": 512},
    {"model_type": "phi", **ROTARY},
    {"model_type": "phi3", **ROTARY},
    {"model_type": "gpt_neox", **ROTARY},
    {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512, "initializer_range": 0.3},
    {
        "model_type": "opt",
        "hidden_size": 32,
        "word_embed_proj_dim": 24,
        "ffn_dim": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        **LEARNED,
    },
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config["model_type"])
def test_a_clip_is_the_same_in_every_batch(config: dict, tokenizer_folder: Path, tokens: Tokens):
    torch.manual_seed(0)
    settings = {"max_new_tokens": 8, "num_beams": 3}
    decoder = CausalLMDecoder(WIDTH, config=config, tokenizer=str(tokenizer_folder), generation=settings).eval()
    logits, labels = decoder.logits(tokens, CAPTIONS)
    captions = decoder.generate(tokens)
    for row in range(3):
        alone = Tokens(tokens.x[row : row + 1, tokens.mask[row]])
        single, ids = decoder.logits(alone, CAPTIONS[row : row + 1])
        assert torch.equal(labels[row, : ids.shape[1]], ids[0])
        assert torch.allclose(logits[row, : ids.shape[1]], single[0], atol=1e-3)
        assert decoder.generate(alone) == captions[row : row + 1]
    special = decoder.codec.special
    search = GenerationConfig(**settings, eos_token_id=list(special.eos), pad_token_id=special.pad)
    with torch.no_grad():
        context, mask = decoder.context(tokens)
        ids = decoder.lm.generate(inputs_embeds=context, attention_mask=mask.long(), generation_config=search)
    assert decoder.codec.decode(ids) == captions
