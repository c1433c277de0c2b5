from __future__ import annotations

import pytest
import torch
from transformers import GenerationConfig

from avcap.decoders.search import check_settings, search
from avcap.decoders.text import SpecialIds
from avcap.types import Tokens

SPECIAL = SpecialIds(1, (2,), 0)


@pytest.fixture
def context(make, tokens: Tokens):
    """A model and three contexts with holes."""
    decoder = make(llama={"num_hidden_layers": 3})
    with torch.no_grad():
        embeds, mask = decoder.context(tokens)
    return decoder.lm, embeds, mask


def log_probability(model: torch.nn.Module, embeds: torch.Tensor, ids: torch.Tensor) -> float:
    """Sum over the tokens of one continuation, by one forward pass without a cache."""
    text = model.get_input_embeddings()(ids)[None]
    logits = model(inputs_embeds=torch.cat([embeds, text], dim=1)).logits[0, embeds.shape[1] - 1 : -1]
    return logits.log_softmax(-1).gather(1, ids[:, None]).sum().item()


@torch.no_grad()
def test_greedy_is_the_likeliest_token_each_time(context):
    model, embeds, mask = context
    found = search(model, embeds, mask, SPECIAL, {"num_beams": 1, "max_new_tokens": 6, "min_new_tokens": 6}).sequences
    for row, real, ids in zip(embeds, mask, found, strict=True):
        so_far = row[real][None]  # the padded positions are taken out for good
        for token in ids:
            logits = model(inputs_embeds=so_far).logits[0, -1]
            logits[2] = -torch.inf
            assert token == logits.argmax()
            so_far = torch.cat([so_far, model.get_input_embeddings()(token)[None, None]], dim=1)


@torch.no_grad()
@pytest.mark.parametrize("penalty", [1.0, 0.6])
def test_reading_the_context_once_changes_nothing(context, penalty: float):
    """Against Hugging Face's own way, which reads the context again for every beam."""
    model, embeds, mask = context
    settings = {"num_beams": 4, "max_new_tokens": 10, "length_penalty": penalty, "num_return_sequences": 3}
    framing = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "return_dict_in_generate": True}
    config = GenerationConfig(**settings, **framing, output_scores=True)
    expected = model.generate(inputs_embeds=embeds, attention_mask=mask.long(), generation_config=config)
    found = search(model, embeds, mask, SPECIAL, {**settings, "output_scores": True})
    assert torch.equal(found.sequences, expected.sequences)
    assert torch.allclose(found.sequences_scores, expected.sequences_scores, atol=1e-5)


@torch.no_grad()
def test_scores_are_the_mean_log_probability_and_beams_beat_greedy(context):
    model, embeds, mask = context
    length = {"max_new_tokens": 8, "min_new_tokens": 8}
    greedy = search(model, embeds, mask, SPECIAL, {"num_beams": 1, **length}).sequences
    beams = search(model, embeds, mask, SPECIAL, {"num_beams": 16, "output_scores": True, **length})
    gains = []
    for row in range(3):
        alone = embeds[row][mask[row]][None]
        mine = log_probability(model, alone, beams.sequences[row])
        assert beams.sequences_scores[row].item() == pytest.approx(mine / 8, abs=1e-4)
        gains.append(mine - log_probability(model, alone, greedy[row]))
    assert min(gains) >= -1e-4
    assert max(gains) > 0.1


@torch.no_grad()
def test_sampling_follows_the_seed(context):
    model, embeds, mask = context
    settings = {"num_beams": 1, "do_sample": True, "top_k": 20, "temperature": 1.5, "max_new_tokens": 8}

    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return search(model, embeds, mask, SPECIAL, settings).sequences

    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))


def test_unknown_settings_are_refused():
    check_settings({"num_beams": 2, "length_penalty": 0.6})
    with pytest.raises(ValueError, match=r"Unknown decoding settings beams; the known ones are do_sample, "):
        check_settings({"beams": 2})
