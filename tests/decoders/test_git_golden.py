"""The GIT decoder gives what the official AVCap code gives (case ``avcap_captioner``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from avcap.decoders.git import GITDecoder
from avcap.decoders.git_text import GITSize
from avcap.decoders.search_beam import GeneratorBeamSearch
from avcap.decoders.search_step import Hypotheses, LogitRules, SearchStep, reorder_beams
from avcap.types import Tokens
from avcap.weights.git import AVCAP, decoder_to_ours
from tests.decoders.avcap_reference import joint_tokens
from tests.golden import golden


@pytest.fixture(scope="module")
def case() -> dict[str, Any]:
    manifest, npz = golden.load("avcap_captioner")
    state = {name: torch.from_numpy(value.copy()) for name, value in golden.state_dict(manifest).items()}
    inputs = {name: torch.from_numpy(value) for name, value in golden.inputs(manifest).items()}
    config = manifest["config"]
    sizes = config["decoder"]
    decoder = GITDecoder(
        config["embed_dim"],
        size=GITSize(
            width=sizes["hidden_size"],
            depth=sizes["num_layers"],
            heads=sizes["attention_heads"],
            mlp_ratio=sizes["feedforward_size"] / sizes["hidden_size"],
            vocab_size=sizes["vocab_size"],
            positions=sizes["max_caption_length"],
        ),
    ).eval()
    conversion = decoder_to_ours(state, AVCAP, projection=True, ignored=("av_encoder.",))
    decoder.load_state_dict({name.removeprefix("decoder."): value for name, value in conversion.state.items()})
    with torch.no_grad():
        x = joint_tokens(
            state, inputs["audio"], inputs["visual"], heads=config["num_heads"], depth=config["modality_specific_depth"]
        )
    return {"manifest": manifest, "npz": npz, "decoder": decoder, "tokens": Tokens(x), **inputs}


def test_projection_logits_and_loss(case: dict[str, Any]) -> None:
    decoder, tokens, ids = case["decoder"], case["tokens"], case["caption_tokens"]
    predicted = (case["need_predict"] == 1) & (ids != 0)
    with torch.no_grad():
        found = {
            "projected": decoder.projection(tokens.x),
            "logits": decoder.logits(tokens, ids),
            "loss": decoder.loss_of_ids(tokens, ids, predicted),
        }
    for name, value in found.items():
        golden.check(case["manifest"], case["npz"], name, value.numpy())


def two_offers_a_beam(step: SearchStep, *, bos: Tensor, eos: int, settings: dict[str, Any]) -> Hypotheses:
    """The search that the official file holds and its captioner does not use: each beam offers its two best words.

    A beam that has ended repeats the end word at log probability 0; the best sum wins, divided by its number of words.
    """
    beams, rules = settings["num_beams"], LogitRules({"no_repeat": True}, eos=eos, device=bos.device)
    ids = bos[:, None, None]  # [B, K, T], one beam at first
    sums, words, parents = torch.zeros(len(bos), 1), bos[:, None], None  # [B, K]
    for offers in (beams, *[2] * (settings["max_new_tokens"] - 1)):
        logs = rules(ids, step(words, parents)).log_softmax(dim=2)  # [B, K, V]
        silent = torch.full_like(logs[0, 0], -torch.inf).index_fill(0, torch.tensor([eos]), 0.0)  # [V]
        logs = torch.where((words == eos)[:, :, None], silent, logs)
        best, offered = logs.topk(offers)  # [B, K, offers]
        sums, place = (sums[:, :, None] + best).flatten(1).topk(beams)  # [B, K]
        parents, words = place // offers, offered.flatten(1).gather(1, place)
        ids = torch.cat([reorder_beams(ids, parents), words[:, :, None]], dim=2)  # [B, K, T + 1]
    texts = ids[:, 0, 1:]  # [B, T]
    count = (texts != eos).sum(dim=1) + (texts == eos).any(dim=1).long()
    return Hypotheses(texts, sums[:, 0] / count)


@pytest.mark.parametrize(
    ("name", "search", "beams"),
    [
        ("beam", GeneratorBeamSearch(), 4),
        ("greedy", GeneratorBeamSearch(), 1),
        ("autoregressive", two_offers_a_beam, 4),
    ],
)
def test_searches(case: dict[str, Any], name: str, search: object, beams: int) -> None:
    decoder, official = case["decoder"], case["manifest"]["config"]["search"]
    decoder.search = search
    bos, eos = official["sos_index"], official["eos_index"]
    settings = {"max_new_tokens": official["max_steps"] - 1, "length_penalty": official["length_penalty"]}
    found = decoder.generate_ids(case["tokens"], bos=bos, eos=eos, num_beams=beams, **settings)
    ids = np.concatenate([np.full((len(found.ids), 1), bos), found.ids.numpy()], axis=1)
    golden.check(case["manifest"], case["npz"], f"{name}_tokens", ids)
    scores = found.scores.numpy().reshape(case["npz"][f"{name}_logprobs"].shape)
    golden.check(case["manifest"], case["npz"], f"{name}_logprobs", scores)
