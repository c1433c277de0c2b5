from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from avcap.decoders.captions import CaptionTargets
from avcap.decoders.causal_lm import CausalLMDecoder
from avcap.decoders.prompts import CAPTION_PROMPTS, Prompting
from avcap.layers.lora import LoRA
from avcap.types import Tokens
from tests.decoders.conftest import CAPTIONS, WIDTH

LLAMA2 = Path(__file__).resolve().parents[2] / "configs" / "llm" / "llama2_7b.json"


def alone(tokens: Tokens, row: int) -> Tokens:
    """One clip with its padding taken out."""
    return Tokens(tokens.x[row : row + 1, tokens.full_mask()[row]])


def by_hand(decoder: CausalLMDecoder, tokens: Tokens, row: int, prompt: str, caption: str) -> tuple[Tensor, Tensor]:
    """The input of one clip laid out by hand: embeddings ``[1, S, C]`` and labels ``[1, S]``."""
    tokenizer, embed = decoder.codec.tokenizer, decoder.lm.get_input_embeddings()

    def ids(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    before = [tokenizer.bos_token_id, *ids("USER: <Speech>")]
    after = ids(f"</Speech> {prompt}\nASSISTANT:")
    target = [*ids(caption), tokenizer.eos_token_id]
    fused = decoder.projection(alone(tokens, row).x[0])
    parts = [embed(torch.tensor(before)), fused, embed(torch.tensor(after + target))]
    labels = [-100] * (len(before) + len(fused) + len(after)) + target
    return torch.cat(parts)[None], torch.tensor(labels)[None]


def test_loss_is_that_of_the_sequence_laid_out_by_hand(make, tokens: Tokens):
    """Hugging Face's own loss on every clip by itself, weighted by the number of its predicted tokens."""
    decoder = make()
    losses, counts = [], []
    for row, caption in enumerate(CAPTIONS):
        embeds, labels = by_hand(decoder, tokens, row, decoder.prompt, caption)
        losses.append(decoder.lm(inputs_embeds=embeds, labels=labels).loss)
        counts.append((labels != -100).sum())
    expected = (torch.stack(losses) * torch.stack(counts)).sum() / torch.stack(counts).sum()
    assert torch.allclose(decoder.loss(tokens, CAPTIONS), expected, atol=1e-5)


def test_training_prompts_are_those_drawn(make, tokens: Tokens):
    """The prompts differ in length, so this sees the padding between fused tokens and caption, too."""
    prompts = ["Describe the rain.", "Go on!", "Which bell, siren or engine is it, in a sentence?"]
    decoder = make(prompting=Prompting(prompts=prompts)).train()
    torch.manual_seed(5)
    drawn = decoder.own_prompts(3)
    assert len(set(drawn)) > 1
    torch.manual_seed(5)
    logits, labels = decoder.logits(tokens, CAPTIONS)
    for row, (prompt, caption) in enumerate(zip(drawn, CAPTIONS, strict=True)):
        embeds, expected = by_hand(decoder, tokens, row, prompt, caption)
        length = int((expected != -100).sum())
        assert labels[row, :length].tolist() == expected[0, -length:].tolist()
        reference = decoder.lm(inputs_embeds=embeds).logits[0, -length - 1 : -1]
        assert torch.allclose(logits[row, :length], reference, atol=1e-4)


def test_a_clip_may_have_a_prompt_of_its_own(make, tokens: Tokens):
    """Each clip is read as by itself with that prompt; the others keep what would be drawn for them."""
    decoder = make(
        prompting=Prompting(prompts=["Describe the rain.", "Go on!", "Which bell is it, in a sentence?"])
    ).train()
    torch.manual_seed(5)
    drawn = decoder.own_prompts(3)
    asked = [None, "Which siren or engine is it, and what was there before it?", None]
    torch.manual_seed(5)
    logits, _ = decoder.logits(tokens, CAPTIONS, asked)
    for row, (own, prompt, caption) in enumerate(zip(drawn, asked, CAPTIONS, strict=True)):
        embeds, labels = by_hand(decoder, tokens, row, prompt or own, caption)
        length = int((labels != -100).sum())
        reference = decoder.lm(inputs_embeds=embeds).logits[0, -length - 1 : -1]
        assert torch.allclose(logits[row, :length], reference, atol=1e-4)
    with pytest.raises(ValueError, match="There are 2 prompts for 3 clips; give one a clip, or None"):
        decoder.loss(tokens, CAPTIONS, prompts=asked[:2])


def test_prompts_of_none_change_nothing(make, tokens: Tokens):
    decoder = make().train()
    losses = []
    for prompts in (None, [None] * 3):
        torch.manual_seed(5)
        losses.append(decoder.loss(tokens, CAPTIONS, prompts=prompts))
    assert torch.equal(*losses)


def test_a_chat_template_opens_the_text_itself(make):
    decoder = make(prompting=Prompting(chat_template=True))
    decoder.codec.tokenizer.chat_template = "{% for m in messages %}<s>[{{ m['role'] }}] {{ m['content'] }}{% endfor %}"
    before, _ = decoder.split_prompt("Go on!")
    assert before[0] == decoder.codec.special.bos
    assert before.count(decoder.codec.special.bos) == 1  # the template's own, none added


def test_drawn_prompts_are_those_of_the_seed(make):
    decoder = make(prompting=Prompting(prompt="x")).train()
    torch.manual_seed(3)
    one, two = decoder.own_prompts(400), decoder.own_prompts(400)
    torch.manual_seed(3)
    assert decoder.own_prompts(400) == one
    assert one != two
    assert set(one) == set(CAPTION_PROMPTS)  # never that of the evaluation
    assert decoder.eval().own_prompts(2) == ["x", "x"]


def test_evaluation_uses_one_fixed_prompt(make, tokens: Tokens):
    decoder = make()
    assert torch.equal(decoder.loss(tokens, CAPTIONS), decoder.loss(tokens, CAPTIONS))
    assert not torch.equal(
        decoder.loss(tokens, CAPTIONS), make(prompting=Prompting(prompt="Go on!")).loss(tokens, CAPTIONS)
    )
    decoder.train()
    assert not torch.equal(decoder.loss(tokens, CAPTIONS), decoder.loss(tokens, CAPTIONS))


def test_labels_are_the_caption_and_its_end_alone(make, tokens: Tokens):
    decoder = make()
    _, labels = decoder.logits(tokens, CAPTIONS)
    for row, caption in zip(labels, CAPTIONS, strict=True):
        ids = decoder.codec.tokenizer.encode(caption, add_special_tokens=False)
        assert row[row != -100].tolist() == [*ids, decoder.codec.special.eos[0]]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("beams", [1, 4])
def test_a_clip_is_the_same_in_every_batch(make, tokens: Tokens, attention: str, beams: int):
    decoder = make(attention=attention)
    together = decoder.generate(tokens, num_beams=beams)
    assert [decoder.generate(alone(tokens, row), num_beams=beams)[0] for row in range(3)] == together
    logits, _ = decoder.logits(tokens, CAPTIONS)
    for row in range(3):
        single, ids = decoder.logits(alone(tokens, row), CAPTIONS[row : row + 1])
        assert torch.allclose(logits[row, : ids.shape[1]], single[0], atol=1e-4)


def test_values_of_padded_tokens_do_not_matter(make, tokens: Tokens):
    decoder = make()
    other = Tokens(tokens.x.masked_fill(~tokens.mask[..., None], 1e3), tokens.mask)
    assert torch.allclose(decoder.loss(tokens, CAPTIONS), decoder.loss(other, CAPTIONS), atol=1e-6)
    assert decoder.generate(tokens) == decoder.generate(other)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_clip_without_tokens_and_a_model_without_opening_token(make, tokens: Tokens, attention: str):
    """The first positions then see nothing at all: still finite, gradients included."""
    decoder = make(prompting=Prompting(template="{tokens} caption:"), attention=attention)
    codec = decoder.codec
    codec.special = codec.special._replace(bos=None)
    tokens = Tokens(tokens.x.clone().requires_grad_(), torch.zeros(3, 7, dtype=torch.bool))
    loss = decoder.loss(tokens, CAPTIONS)
    loss.backward()
    assert loss.isfinite()
    assert torch.equal(tokens.x.grad, torch.zeros_like(tokens.x))
    assert all(p.grad.isfinite().all() for p in decoder.parameters() if p.grad is not None)
    assert len(set(decoder.generate(tokens))) == 1  # three clips of nothing


def test_gradient_reaches_every_trainable_part(make, tokens: Tokens):
    decoder = make(norm=True).train()
    decoder.loss(tokens, CAPTIONS).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in decoder.parameters())
    frozen = make(frozen=True, lora=LoRA(rank=2)).train()
    frozen.loss(tokens, CAPTIONS).backward()
    names = {name for name, parameter in frozen.named_parameters() if parameter.grad is not None}
    assert {name.split(".")[0] for name in names} == {"lm", "projection"}
    assert all("lora_" in name or name.startswith("projection") for name in names)


def test_it_learns_captions_and_each_ends_by_itself(make, tokens: Tokens):
    """Three captions of 2 to 11 words learnt by heart: a batch that stopped with its first row would cut the others."""
    decoder = make(llama={"initializer_range": 0.05}, prompting=Prompting(prompts=["Go on!", "Describe it."])).train()
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        decoder.loss(tokens, CAPTIONS).backward()
        optimizer.step()
    for beams in (1, 4):
        assert decoder.generate(tokens, num_beams=beams, max_new_tokens=60) == CAPTIONS
    assert decoder.training
    assert decoder.generate(tokens, max_new_tokens=3) != CAPTIONS
    best = decoder.generate_nbest(tokens, count=2, max_new_tokens=60)
    assert [row[0][0] for row in best] == CAPTIONS
    assert all(row[0][1] > row[1][1] for row in best)


def test_training_mode_does_not_change_captions(make, tokens: Tokens):
    decoder = make(lora=LoRA(rank=2, dropout=0.5), frozen=True)
    captions = decoder.generate(tokens)
    assert decoder.train().generate(tokens) == captions


def test_label_smoothing_and_lower_case(make, tokens: Tokens):
    plain, smooth = make(), make(captions=CaptionTargets(label_smoothing=0.1, lowercase=True))
    logits, labels = plain.logits(tokens, CAPTIONS)
    expected = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=0.1)
    assert torch.allclose(smooth.loss(tokens, [caption.title() for caption in CAPTIONS]), expected)


def test_bfloat16_weights_and_autocast(make, tokens: Tokens):
    reference = make(llama={"initializer_range": 0.02}).loss(tokens, CAPTIONS)
    half = make(llama={"initializer_range": 0.02}, dtype="bfloat16", frozen=True, lora=LoRA()).train().eval()
    assert {p.dtype for n, p in half.named_parameters() if p.requires_grad} == {torch.float32}
    assert half.loss(tokens, CAPTIONS).item() == pytest.approx(reference.item(), abs=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        loss = make(llama={"initializer_range": 0.02}).loss(tokens, CAPTIONS)
        assert half.generate(tokens) == half.generate(tokens)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(reference.item(), abs=0.05)


def test_a_vocabulary_left_out_comes_from_the_tokenizer(make):
    decoder = make()
    assert decoder.lm.config.vocab_size == len(decoder.codec.tokenizer)
    with pytest.raises(ValueError, match=r"has \d+ tokens and the language model 50"):
        _ = make(llama={"vocab_size": 50}).codec


def test_mistakes_are_named(make, tokens: Tokens, tmp_path: Path):
    with pytest.raises(ValueError, match=r"have 12 channels and decoder\.input_width is 13"):
        make(input_width=13).loss(tokens, CAPTIONS)
    decoder = make()
    with pytest.raises(ValueError, match="2 captions for 3 clips"):
        decoder.loss(tokens, CAPTIONS[:2])
    with pytest.raises(ValueError, match="Unknown decoding settings beam"):
        decoder.generate(tokens, beam=3)
    with pytest.raises(ValueError, match="need at least 5 beams, not 4"):
        decoder.generate_nbest(tokens, count=5)
    with pytest.raises(ValueError, match=r"set decoder\.model"):
        CausalLMDecoder(WIDTH)
    with pytest.raises(FileNotFoundError, match=r"decoder\.tokenizer: .*avcap data demo"):
        make(tokenizer=str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"decoder\.tokenizer is not set"):
        make(tokenizer=None)
    with pytest.raises(ValueError, match=r"label_smoothing is 1\.0"):
        CaptionTargets(label_smoothing=1.0)
    with pytest.raises(ValueError, match="max_tokens is 1"):
        CaptionTargets(max_tokens=1)
    with pytest.raises(FileNotFoundError, match=r"decoder\.model: "):
        CausalLMDecoder(WIDTH, model=str(tmp_path / "none"))


def test_llama_2_7b_on_the_meta_device():
    """Sizes of LLaMA-2-7B with LAVCap's adapters, without weights and without a tokenizer."""
    with torch.device("meta"):
        decoder = CausalLMDecoder(768, config=LLAMA2, lora=LoRA(), frozen=True)
    assert sum(p.numel() for n, p in decoder.lm.named_parameters() if "lora_" not in n) == 6_738_415_616
    assert sum(p.numel() for p in decoder.lm.parameters() if p.requires_grad) == 32 * (4096 * 8 * 2) * 2 == 4_194_304
    assert sum(p.numel() for p in decoder.projection.parameters()) == 768 * 4096 + 4096
    assert all(parameter.is_meta for parameter in decoder.parameters())


def test_loss_on_the_meta_device(tokenizer_folder: Path):
    with torch.device("meta"):
        decoder = CausalLMDecoder(WIDTH, config=LLAMA2, tokenizer=str(tokenizer_folder), lora=LoRA()).eval()
        logits, _ = decoder.logits(Tokens(torch.empty(3, 7, WIDTH)), CAPTIONS)
    assert logits.shape[0] == 3
    assert logits.shape[2] == 32000


@pytest.mark.parametrize("recompute", [False, True])
def test_dry_loss_needs_no_tokenizer(recompute: bool):
    with torch.device("meta"):
        decoder = CausalLMDecoder(WIDTH, config=LLAMA2, lora=LoRA(), frozen=True, gradient_checkpointing=recompute)
        loss = decoder.dry_loss(Tokens(torch.empty(3, 7, WIDTH)), 20)
    loss.backward()
    assert loss.shape == ()
    assert decoder.projection.weight.grad.shape == (4096, WIDTH)
    assert "forward" not in vars(decoder.lm.model.rotary_emb)  # the stand-in is gone
    with pytest.raises(ValueError, match="have 13 channels"):
        decoder.dry_loss(Tokens(torch.empty(3, 7, 13, device="meta")), 20)


def test_dry_loss_is_a_loss(make, tokens: Tokens):
    assert make().dry_loss(tokens, 20).isfinite()
