"""The language model of LLaVA, and the captioner that the three parts make: the original's captions, token for token."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from avcap.checkpoints.state import reloadable
from avcap.decoders import LlavaDecoder
from avcap.decoders.llava import LlavaPrompting
from avcap.decoders.prefix import INITIAL_STD, PrefixTuning
from avcap.layers.lora import LoRA
from avcap.scenes.tokenizer import train_tokenizer
from avcap.systems import Captioner
from avcap.types import Tokens
from tests.llava_parts import (
    CAPTIONS,
    PATCHES,
    PROMPT,
    VISION_WIDTH,
    WIDTH,
    captioner,
    frames,
    reference,
    save_llava,
    save_tokenizer,
    settings,
)
from tests.systems.parts import LinearAudio

BOTH_SEARCHES = pytest.mark.parametrize("beams", [1, 4])
PREFIX = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def expected(model: Path) -> dict[int, Tensor]:
    """The original captioner's ids of the pictures, by number of beams."""
    return {beams: reference(model, frames(), num_beams=beams, do_sample=False) for beams in (1, 4)}


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return folder


def ids(model: Captioner, beams: int) -> Tensor:
    with torch.no_grad():
        return model.decoder._search(model.fuse({"frames": frames()}).tokens, {"num_beams": beams}).sequences


def tokens(masked: bool = True) -> Tokens:
    """Three clips of 7 tokens, with holes."""
    x = torch.randn(3, 7, WIDTH, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(3, 7, dtype=torch.bool)
    mask[1, 4:] = mask[2, :3] = False
    return Tokens(x, mask if masked else None)


def loaded(model: Path, **more: object) -> LlavaDecoder:
    decoder = LlavaDecoder(WIDTH, **{"model": str(model), "generation": {"max_new_tokens": 12}, **more})
    decoder.load_pretrained()
    return decoder.eval()


# -- the original captioner ---------------------------------------------------------------------------------------


def test_the_reference_is_worth_comparing_with(expected: dict[int, Tensor]):
    """Captions differ from picture to picture, some end by themselves, and beams find others than greedy search."""
    for found in expected.values():
        assert len({tuple(row) for row in found.tolist()}) > 3
        assert 0 < (found[:, -1] == 2).sum() < len(found)  # 2 is <pad>: a row that ended before the longest
    assert not torch.equal(*(torch.nn.functional.pad(found, (0, 24 - found.shape[1])) for found in expected.values()))


@BOTH_SEARCHES
def test_image_captions_are_those_of_transformers(model: Path, expected: dict[int, Tensor], beams: int):
    ours = captioner(model)
    assert torch.equal(ids(ours, beams), expected[beams])
    texts = ours.decoder.codec.tokenizer.batch_decode(expected[beams], skip_special_tokens=True)
    assert ours({"frames": frames()}, num_beams=beams) == [" ".join(text.split()) for text in texts]


@BOTH_SEARCHES
def test_an_audio_projector_beside_it_changes_nothing(model: Path, expected: dict[int, Tensor], beams: int):
    ours = captioner(model, projection={"audio_projector": "copy"}, audio=LinearAudio(width=VISION_WIDTH))
    with torch.no_grad():
        ours.fusion.audio_projector.linear_1.weight.normal_()
    assert torch.equal(ids(ours, beams), expected[beams])


@BOTH_SEARCHES
def test_a_prefix_that_is_taken_out_leaves_nothing(
    model: Path, expected: dict[int, Tensor], beams: int, tmp_path: Path
):
    save_file({"prefix": torch.randn(PREFIX, WIDTH)}, tmp_path / "prefix.safetensors")
    read = {"prefix": PrefixTuning(tokens=PREFIX, file=str(tmp_path / "prefix.safetensors"))}
    ours = captioner(model, decoder=read)
    assert not torch.equal(ids(ours, beams), expected[beams])
    ours.decoder.prefix = None
    assert torch.equal(ids(ours, beams), expected[beams])
    assert torch.equal(ids(captioner(model), beams), expected[beams])


def test_a_training_step_of_the_prefix_moves_nothing_else(model: Path, expected: dict[int, Tensor]):
    ours = captioner(model, decoder={"prefix": PrefixTuning(tokens=PREFIX, train=True)}).train()
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    optimizer = ours.configure_optimizers()
    assert [p.shape for group in optimizer.param_groups for p in group["params"]] == [(PREFIX, WIDTH)]
    batch = {"id": list("abc"), "frames": frames(3), "caption": CAPTIONS}
    ours.model.losses(batch)["caption"].backward()
    optimizer.step()
    moved = {name for name, value in ours.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"decoder.prefix.prefix"}
    ours.decoder.prefix = None
    assert torch.equal(ids(ours.eval(), 1), expected[1])


# -- what the language model reads --------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [0, PREFIX])
def test_loss_is_that_of_the_sequence_laid_out_by_hand(model: Path, prefix: int):
    """Fused tokens, then the prefix, then the text of the prompt; the caption and its end alone are predicted."""
    decoder = loaded(model, prefix=PrefixTuning(tokens=prefix, train=True) if prefix else None)
    tokenizer, embed = decoder.codec.tokenizer, decoder.lm.get_input_embeddings()
    before = tokenizer("USER: ")["input_ids"]
    assert before[0] == tokenizer.bos_token_id
    after = tokenizer.encode(f"\n{PROMPT} ASSISTANT:", add_special_tokens=False)
    learned = torch.zeros(0, WIDTH) if decoder.prefix is None else decoder.prefix.prefix
    given, losses, counts = tokens(), [], []
    for row, caption in enumerate(CAPTIONS):
        target = [*tokenizer.encode(caption, add_special_tokens=False), tokenizer.eos_token_id]
        fused = given.x[row, given.mask[row]]
        parts = [embed(torch.tensor(before)), fused, learned, embed(torch.tensor(after + target))]
        ignored = [-100] * (len(before) + len(fused) + prefix + len(after))
        embeds, labels = torch.cat(parts)[None], torch.tensor(ignored + target)[None]
        losses.append(decoder.lm(inputs_embeds=embeds, labels=labels).loss)
        counts.append(len(target))
    weights = torch.tensor(counts) / sum(counts)
    torch.testing.assert_close(decoder.loss(given, CAPTIONS), (torch.stack(losses) * weights).sum(), atol=1e-5, rtol=0)


@BOTH_SEARCHES
def test_a_clip_is_the_same_in_every_batch(model: Path, beams: int):
    decoder = loaded(model, prefix=PrefixTuning(tokens=PREFIX, train=True))
    given = tokens()
    alone = [Tokens(given.x[row : row + 1, given.mask[row]]) for row in range(3)]
    assert [decoder.generate(one, num_beams=beams)[0] for one in alone] == decoder.generate(given, num_beams=beams)


def test_best_captions_come_with_scores(model: Path):
    decoder = loaded(model)
    best = decoder.generate_nbest(tokens(), count=2, num_beams=3)
    assert [row[0][0] for row in best] == decoder.generate(tokens(), num_beams=3)
    assert all(row[0][1] >= row[1][1] for row in best)


def test_greedy_is_the_default_and_sampling_an_option(model: Path):
    decoder = loaded(model)
    assert decoder.generate(tokens()) == decoder.generate(tokens(), num_beams=1)
    torch.manual_seed(0)
    drawn = {tuple(decoder.generate(tokens(), do_sample=True, temperature=5.0)) for _ in range(3)}
    assert len(drawn) > 1


def test_the_text_of_the_prompt_and_the_template_count(model: Path):
    usual = loaded(model).loss(tokens(), CAPTIONS)
    assert not torch.equal(
        usual, loaded(model, prompting=LlavaPrompting(prompt="Describe the image.")).loss(tokens(), CAPTIONS)
    )
    assert not torch.equal(
        usual, loaded(model, prompting=LlavaPrompting(template="{tokens} {prompt}\n")).loss(tokens(), CAPTIONS)
    )
    with pytest.raises(ValueError, match=r"The prompt 'Look at <image>\.' must not hold <image>"):
        loaded(model, prompting=LlavaPrompting(prompt="Look at <image>.")).loss(tokens(), CAPTIONS)
    with pytest.raises(ValueError, match=r"decoder\.prompting\.template ends with \{tokens\}"):
        loaded(model, prompting=LlavaPrompting(template="{prompt} {tokens}")).loss(tokens(), CAPTIONS)


def test_a_clip_may_have_a_prompt_of_its_own(model: Path):
    """Its loss is that of a decoder with that prompt and the clip alone, whatever its neighbours are asked."""
    decoder, given = loaded(model), tokens()
    asked = ["Describe the image, its colours and its places, in a sentence.", None, "What is it?"]
    logits, labels = decoder.logits(given, CAPTIONS, asked)
    for row, prompt in enumerate(asked):
        alone = Tokens(given.x[row : row + 1, given.mask[row]])
        other = loaded(model, prompting=LlavaPrompting(prompt=prompt or PROMPT))
        single, ids = other.logits(alone, CAPTIONS[row : row + 1])
        torch.testing.assert_close(logits[row, : ids.shape[1]], single[0], atol=1e-4, rtol=0)
        assert torch.equal(labels[row, : ids.shape[1]], ids[0])
    usual = decoder.loss(given, CAPTIONS)
    assert torch.equal(decoder.loss(given, CAPTIONS, prompts=[None] * 3), usual)
    assert not torch.equal(decoder.loss(given, CAPTIONS, prompts=asked), usual)


# -- training -----------------------------------------------------------------------------------------------------


def test_a_random_model_takes_its_vocabulary_from_the_tokenizer(tmp_path: Path):
    train_tokenizer(tmp_path, CAPTIONS, vocab_size=300)  # knows no <image> and opens no text
    decoder = LlavaDecoder(WIDTH, config=settings(), tokenizer=str(tmp_path), frozen=False)
    tokenizer = decoder.codec.tokenizer
    assert decoder.lm.config.vocab_size == len(tokenizer) == tokenizer.convert_tokens_to_ids("<image>") + 1
    assert decoder.lm.config.eos_token_id == decoder.codec.special.eos[0] == tokenizer.eos_token_id
    before, _ = decoder.split_prompt(PROMPT)
    assert tokenizer.bos_token_id not in before


def test_it_learns_captions_and_each_ends_by_itself(tokenizer_folder: Path):
    torch.manual_seed(0)
    whole = settings()
    whole["text_config"]["initializer_range"] = 0.05
    decoder = LlavaDecoder(WIDTH, config=whole, tokenizer=str(tokenizer_folder), frozen=False).train()
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-2)
    for _ in range(45):
        optimizer.zero_grad()
        decoder.loss(tokens(), CAPTIONS).backward()
        optimizer.step()
    assert all(parameter.grad is not None for parameter in decoder.parameters())
    for beams in (1, 4):
        assert decoder.generate(tokens(), num_beams=beams) == CAPTIONS
    assert decoder.training


def test_frozen_means_that_the_prefix_alone_is_trained(model: Path):
    decoder = loaded(model, prefix=PrefixTuning(tokens=PREFIX, train=True)).train()
    assert not decoder.lm.training
    assert decoder.prefix.prefix.std() < 2 * INITIAL_STD
    given = tokens()._replace(x=tokens().x.requires_grad_())
    decoder.loss(given, CAPTIONS).backward()
    assert [name for name, p in decoder.named_parameters() if p.grad is not None] == ["prefix.prefix"]
    assert decoder.prefix.prefix.grad.abs().sum() > 0
    assert given.x.grad[given.mask].abs().sum() > 0  # a projector before it can learn


def test_a_checkpoint_holds_what_no_file_holds(model: Path, tokenizer_folder: Path, tmp_path: Path):
    save_file({"prefix": torch.ones(PREFIX, WIDTH)}, tmp_path / "prefix.safetensors")
    file = {"prefix": PrefixTuning(tokens=PREFIX, file=str(tmp_path / "prefix.safetensors"))}

    def saved(**arguments: object) -> set[str]:
        whole = torch.nn.Module()
        whole.decoder = LlavaDecoder(WIDTH, **arguments)
        return {name.split(".")[1] for name in whole.state_dict().keys() - reloadable(whole, ["decoder"])}

    assert saved(model=str(model)) == set()
    assert saved(model=str(model), **file) == set()
    assert saved(model=str(model), prefix=PrefixTuning(tokens=PREFIX, train=True)) == {"prefix"}
    assert saved(model=str(model), frozen=False) == {"lm"}
    assert saved(config=settings(), tokenizer=str(tokenizer_folder), **file) == {"lm"}


# -- where weights come from --------------------------------------------------------------------------------------


def test_weights_come_with_the_named_step_alone(model: Path):
    decoder = LlavaDecoder(WIDTH, model=str(model))
    assert all(parameter.is_meta for parameter in decoder.parameters())
    with pytest.raises(ValueError, match=r"are not loaded; call load_pretrained\(\) first"):
        decoder.loss(tokens(), CAPTIONS)
    decoder.load_pretrained()
    weights = decoder.lm
    decoder.load_pretrained()
    assert decoder.lm is weights


def test_a_number_format_may_be_chosen(model: Path):
    decoder = loaded(model, dtype="bfloat16")
    assert {parameter.dtype for parameter in decoder.lm.parameters()} == {torch.bfloat16}
    assert decoder.loss(tokens(), CAPTIONS).dtype == torch.float32


def test_it_may_start_from_a_language_model_of_its_own(tokenizer_folder: Path, tmp_path: Path):
    """As LLaVA starts from Vicuna; a smaller vocabulary, without <image>, grows."""
    torch.manual_seed(1)
    source = LlavaDecoder(WIDTH, config=settings(), tokenizer=str(tokenizer_folder))
    source.lm.save_pretrained(tmp_path / "same")
    source.lm.resize_token_embeddings(source.lm.config.vocab_size - 1)
    source.lm.save_pretrained(tmp_path / "smaller")
    for name in ("same", "smaller"):
        arguments = {"config": settings(), "tokenizer": str(tokenizer_folder), "language_model": str(tmp_path / name)}
        decoder = LlavaDecoder(WIDTH, **arguments)
        assert decoder.pretrained == str(tmp_path / name)
        decoder.load_pretrained()
        known = source.lm.get_input_embeddings().weight
        assert torch.equal(decoder.lm.get_input_embeddings().weight[: len(known)], known)
        assert decoder.lm.config.vocab_size == len(decoder.codec.tokenizer) == len(known) + 1
        layers = [m.lm.model.layers.state_dict() for m in (decoder, source)]
        assert all(torch.equal(layers[0][key], layers[1][key]) for key in layers[1])
    other = settings()
    other["text_config"]["num_hidden_layers"] = 1
    decoder = LlavaDecoder(WIDTH, **{**arguments, "config": other})
    with pytest.raises(ValueError, match=r"has num_hidden_layers 2 and decoder\.config 1"):
        decoder.load_pretrained()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"No LLaVA model: set decoder\.model"),
        ({"model": "no/such/folder"}, r"decoder\.model: no LLaVA model with safetensors weights was found at 'no/such"),
        ({"config": {"model_type": "llama"}}, r"decoder\.config describes a llama; .* \(model_type llava\)"),
        ({"config": {"model_type": "llava", "vision_config": {}}}, r"decoder\.config has no text_config"),
        ({"config": settings()}, r"decoder\.tokenizer is not set"),
    ],
)
def test_mistakes_are_told_in_one_sentence(arguments: dict, message: str):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        LlavaDecoder(WIDTH, **arguments)


def test_adapters_are_trained_in_a_frozen_language_model(model: Path):
    plain, adapted = loaded(model), loaded(model, lora=LoRA(rank=2, dropout=0.0))
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert trained
    assert all(".lora_" in name for name in trained)
    usual = plain.loss(tokens(), CAPTIONS)
    torch.testing.assert_close(adapted.loss(tokens(), CAPTIONS), usual)  # they begin as nothing
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        loss = adapted.loss(tokens(), CAPTIONS)
        loss.backward()
        optimizer.step()
    assert loss < usual


def test_a_prefix_that_contradicts_itself_is_refused():
    with pytest.raises(ValueError, match=r"decoder\.prefix\.tokens is 0"):
        PrefixTuning(tokens=0, train=True)
    with pytest.raises(ValueError, match="The prefix is neither read nor trained"):
        PrefixTuning(tokens=4)


def test_another_width_is_refused(model: Path):
    with pytest.raises(
        ValueError, match=rf"language model's width, {WIDTH}, but the fusion gives {WIDTH + 1}; choose fusion"
    ):
        LlavaDecoder(WIDTH + 1, model=str(model))


def test_a_prefix_of_another_length_is_refused(model: Path, tmp_path: Path):
    save_file({"prefix": torch.ones(PREFIX, WIDTH)}, tmp_path / "prefix.safetensors")
    decoder = LlavaDecoder(
        WIDTH, model=str(model), prefix=PrefixTuning(tokens=5, file=str(tmp_path / "prefix.safetensors"))
    )
    with pytest.raises(ValueError, match=r"prefix \[3, 32\] \(needed \[5, 32\]\)"):
        decoder.load_pretrained()


def test_patch_tokens_are_as_many_as_the_reference_has(model: Path):
    assert captioner(model).fuse({"frames": frames()}).tokens.x.shape == (6, PATCHES, WIDTH)
