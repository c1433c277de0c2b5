"""A frozen language model in 4 or 8 bits: read, trained with adapters, saved without its base, resumed, opened."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader
from transformers import AutoTokenizer

from avcap.checkpoints.state import reloadable
from avcap.commands.check import build_report
from avcap.decoders import quantized
from avcap.decoders.causal_lm import CausalLMDecoder
from avcap.decoders.prompts import Prompting
from avcap.layers.lora import LoRA
from avcap.models import CaptionModel
from avcap.systems import Captioner, Constant, ShardedStrategy
from avcap.types import Batch, Tokens
from tests.decoders.conftest import CAPTIONS, WIDTH
from tests.systems.parts import Concat, LinearAudio, MeanVisual, batch

BITS = ["nf4", "int8"]
LORA = LoRA(rank=2, dropout=0.0)
needs_library = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="pip install 'avcap[quantized]'"
)


@pytest.fixture
def model_folder(make, tokenizer_folder: Path, tmp_path: Path) -> Path:
    """A published model in float16."""
    decoder = make(llama={"hidden_size": 64, "intermediate_size": 128}, dtype="float16")
    decoder.lm.save_pretrained(tmp_path / "lm")
    AutoTokenizer.from_pretrained(tokenizer_folder).save_pretrained(tmp_path / "lm")
    return tmp_path / "lm"


def decoder(folder: Path, bits: str, width: int = WIDTH, **changes: object) -> CausalLMDecoder:
    settings = {"lora": LORA, "frozen": True, "generation": {"max_new_tokens": 3}, **changes}
    return CausalLMDecoder(width, model=str(folder), dtype=bits, **settings)


def base(model: torch.nn.Module) -> list[str]:
    return [name for name in model.state_dict() if ".lm." in name and "lora_" not in name]


@pytest.mark.parametrize("bits", BITS)
def test_without_the_library_one_sentence_says_what_to_install(bits, model_folder, monkeypatch):
    monkeypatch.setattr(quantized, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=rf"^decoder\.dtype: {bits} needs .*`pip install 'avcap\[quantized\]'`\.$"):
        decoder(model_folder, bits)


@pytest.mark.parametrize("bits", BITS)
def test_a_model_that_is_trained_or_random_is_not_quantized(bits, model_folder, make):
    with pytest.raises(ValueError, match=r"^decoder\.dtype: .* set decoder\.frozen: true or add lora\.$"):
        decoder(model_folder, bits, lora=None, frozen=False)
    with pytest.raises(ValueError, match=r"^decoder\.dtype: .* name one in decoder\.model\.$"):
        make(dtype=bits, frozen=True)


@needs_library
@pytest.mark.parametrize("bits", BITS)
def test_it_is_near_the_model_in_16_bits_and_as_small_as_told(bits, model_folder, tokens: Tokens):
    whole, small = decoder(model_folder, "bfloat16"), decoder(model_folder, bits)
    told = sum(weight.nbytes for weight in small.lm.parameters()) - small.bytes_spared
    for each in (whole, small):
        each.load_pretrained()
        each.eval()
    small.projection.load_state_dict(whole.projection.state_dict())
    notes = ("quant_map", "quant_state", "weight_format")  # a few bytes a layer
    sizes = {name: value.nbytes for name, value in small.lm.state_dict().items()}
    assert told == sum(size for name, size in sizes.items() if not any(note in name for note in notes))
    one, other = (each.logits(tokens, CAPTIONS)[0].float().log_softmax(-1) for each in (whole, small))
    assert 0 < (one - other).norm() / one.norm() < {"nf4": 0.2, "int8": 0.05}[bits]


def captioner(folder: Path, bits: str) -> Captioner:
    torch.manual_seed(0)
    model = Captioner(
        LinearAudio(),
        MeanVisual(),
        Concat,
        lambda width: decoder(folder, bits, width, gradient_checkpointing=True, prompting=Prompting(prompts=["say:"])),
        optimizer=lambda groups: torch.optim.AdamW(groups, lr=1e-2),
        schedule=Constant(),
        metrics=[],
    )
    model._hparams.clear()
    return model


def clips() -> Batch:
    torch.manual_seed(1)
    return batch()


def train(folder: Path, bits: str, *, steps: int, start: Path | None = None) -> Captioner:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(
        accelerator="cpu", max_steps=steps, max_epochs=-1, precision="bf16-mixed", enable_model_summary=False, **quiet
    )
    model = captioner(folder, bits)
    trainer.fit(model, DataLoader([clips()] * 10, batch_size=None), ckpt_path=start, weights_only=True)
    trainer.save_checkpoint(folder.parent / f"{steps}.ckpt")
    return model


@needs_library
@pytest.mark.parametrize("bits", BITS)
def test_it_learns_saves_no_base_resumes_equally_and_is_opened(bits, model_folder):
    whole = train(model_folder, bits, steps=10)
    fresh = captioner(model_folder, bits)
    fresh.configure_model()
    with torch.no_grad():
        before, after = (sum(model.eval().model.losses(clips()).values()) for model in (fresh, whole))
    assert after < before
    train(model_folder, bits, steps=3)
    content = torch.load(model_folder.parent / "3.ckpt", weights_only=True)
    assert not [name for name in content["state_dict"] if ".lm." in name and "lora_" not in name]
    assert set(base(whole)) <= whole.left_out()
    resumed = train(model_folder, bits, steps=10, start=model_folder.parent / "3.ckpt")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert resumed.eval()(clips()) == whole(clips())


@needs_library
@pytest.mark.parametrize("bits", BITS)
def test_a_trained_model_is_opened_from_its_adapters(bits, model_folder):
    parts = {
        "audio_encoder": {"class_path": "CEDEncoder", "init_args": {"size": {"width": 16, "depth": 1, "heads": 2}}},
        "visual_encoder": None,
        "fusion": {"class_path": "AudioOnly"},
        "decoder": {
            "class_path": "CausalLMDecoder",
            "init_args": {"model": str(model_folder), "dtype": bits, "frozen": True, "lora": {"rank": 2}},
        },
    }
    model = CaptionModel._of(parts)
    model.decoder.load_pretrained()
    kept = {name: value for name, value in model.state_dict().items() if name not in reloadable(model, model.parts)}
    again = CaptionModel.from_settings(parts, kept)
    tokens = Tokens(torch.randn(2, 4, 16))
    assert again.decoder.generate(tokens, max_new_tokens=3) == model.eval().decoder.generate(tokens, max_new_tokens=3)


@needs_library
def test_scales_of_8_bits_follow_their_weights(model_folder, tokens: Tokens):
    """As from the CPU to a GPU; here the weights go to the meta device by hand."""
    one = decoder(model_folder, "int8")
    one.load_pretrained()
    layers = [layer for layer in one.lm.modules() if hasattr(layer, "state") and hasattr(layer.state, "SCB")]
    one.loss(tokens, CAPTIONS)
    assert all(layer.state.SCB is not None for layer in layers)
    for layer in layers:
        del layer._parameters["weight"]
        layer.weight = torch.empty(layer.out_features, layer.in_features, dtype=torch.int8, device="meta")
    quantized.take_scales_along(one.lm)
    assert layers
    assert all(layer.state.SCB.is_meta and layer.state.CB.is_meta for layer in layers)


@needs_library
def test_it_is_not_shared_out(model_folder):
    with pytest.raises(ValueError, match=r"cannot be shared out .* strategy: ddp"):
        ShardedStrategy().shard(decoder(model_folder, "nf4"))


@needs_library
def test_check_counts_the_bytes_that_it_takes(model_folder):
    def weights(dtype: str, *more: str) -> int:
        lm = ["--model.init_args.decoder.init_args.model", str(model_folder)]
        lm += ["--model.init_args.decoder.init_args.config", str(model_folder / "config.json")]
        lm += ["--model.init_args.decoder.init_args.dtype", dtype]
        return build_report(["--config", "configs/lavcap.yaml", *lm, *more]).memory.weights

    spared = decoder(model_folder, "nf4").bytes_spared
    assert spared > 0
    assert weights("bfloat16") - weights("nf4") == spared
    with pytest.raises(ValueError, match="cannot be shared out"):
        weights("nf4", "--strategy", "fsdp", "--devices", "2")


@needs_library
@pytest.mark.parametrize("bits", BITS)
def test_captions_in_between_leave_the_gradients_as_they_are(bits, model_folder, tokens: Tokens):
    one = decoder(model_folder, bits, prompting=Prompting(prompts=["say:"])).train()
    one.load_pretrained()
    found = []
    for _ in range(2):
        one.zero_grad()
        one.loss(tokens, CAPTIONS).backward()
        found.append({name: p.grad for name, p in one.named_parameters() if p.requires_grad})
        one.generate(tokens)
    assert any("lora_B" in name and grad.any() for name, grad in found[0].items())
    assert all(torch.equal(grad, found[1][name]) for name, grad in found[0].items())


@needs_library
def test_a_short_name_stays_that_of_torch(model_folder):
    """The library has an AdamW, too."""
    importlib.import_module("bitsandbytes.optim")
    assert build_report(["--config", "configs/lavcap.yaml"]).memory.optimiser > 0
    named = [
        "--model.init_args.optimizer",
        "bitsandbytes.optim.AdamW8bit",
        "--model.init_args.optimizer.init_args.lr",
        "1",
    ]
    assert build_report(["--config", "configs/lavcap.yaml", *named]).memory.optimiser > 0
