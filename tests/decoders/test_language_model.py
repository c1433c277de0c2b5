from __future__ import annotations

import pytest
import torch

from avcap.checkpoints.hugging_face import is_empty, make_config
from avcap.decoders.language_model import adapt, evaluating, random_language_model, train_adapters_only
from avcap.layers.lora import LoRA

pytestmark = pytest.mark.filterwarnings("ignore:fan_in_fan_out")  # peft sees to GPT-2's transposed layers by itself

SETTINGS = {"model_type": "gpt2", "vocab_size": 20, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
LORA = LoRA(rank=2, alpha=4.0, dropout=0.5, targets=("c_attn",))


def gpt2(**changes: object) -> torch.nn.Module:
    torch.manual_seed(0)
    model = random_language_model(make_config(SETTINGS), dtype="auto", attention="sdpa")
    return adapt(model, **({"frozen": True, "lora": LORA, "gradient_checkpointing": False} | changes))


def trainable(model: torch.nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_only_adapters_are_trained_frozen_or_not():
    names = trainable(gpt2())
    assert len(names) == 4
    assert all("lora_" in name for name in names)
    assert trainable(gpt2(frozen=False)) == names
    assert trainable(gpt2(lora=None)) == set()


def test_adapters_stay_float32_beside_16_bit_weights():
    model = random_language_model(make_config(SETTINGS), dtype=torch.bfloat16, attention="sdpa")
    model = adapt(model, frozen=True, lora=LORA, gradient_checkpointing=False)
    dtypes = {parameter.requires_grad: parameter.dtype for parameter in model.parameters()}
    assert dtypes == {True: torch.float32, False: torch.bfloat16}


def test_a_frozen_model_keeps_its_own_dropout_off():
    """GPT-2 drops 10 % of its activations in training mode; with the adapters at zero nothing may change."""
    model = gpt2().train()
    ids = torch.arange(8)[None]
    assert not torch.equal(model(ids).logits, model(ids).logits)
    train_adapters_only(model, True)
    assert torch.equal(model(ids).logits, model(ids).logits)
    assert any(module.training for name, module in model.named_modules() if "lora_dropout" in name)
    train_adapters_only(model, False)
    assert not any(module.training for module in model.modules())


def test_recomputation_happens_in_a_frozen_model_and_gives_the_same_gradient():
    gradients, calls = [], []
    for recompute in (False, True):
        model = gpt2(gradient_checkpointing=recompute).train()
        train_adapters_only(model, True)
        seen: list[int] = []
        model.transformer.h[0].attn.register_forward_pre_hook(lambda *_, seen=seen: seen.append(1))
        torch.manual_seed(1)
        embeds = torch.randn(1, 6, 16, requires_grad=True)
        model(inputs_embeds=embeds, use_cache=False).logits.square().mean().backward()
        gradients.append(embeds.grad)
        calls.append(len(seen))
    assert calls == [1, 2]
    assert torch.allclose(gradients[0], gradients[1], atol=1e-7)


def test_nothing_is_allocated_on_the_meta_device():
    with torch.device("meta"):
        assert is_empty(gpt2())
    assert not is_empty(gpt2())


def test_mode_returns_after_evaluation():
    layer = torch.nn.Dropout()
    with evaluating(layer):
        assert not layer.training
    assert layer.training
