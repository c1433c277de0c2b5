"""The GIT decoder gives what the official AVCap code gives (case ``avcap_captioner``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from avcap.decoders.git import GITDecoder
from avcap.decoders.search_autoregressive import AutoRegressiveBeamSearch
from avcap.decoders.search_beam import GeneratorBeamSearch
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
        width=sizes["hidden_size"],
        depth=sizes["num_layers"],
        heads=sizes["attention_heads"],
        mlp_ratio=sizes["feedforward_size"] / sizes["hidden_size"],
        vocab_size=sizes["vocab_size"],
        positions=sizes["max_caption_length"],
    ).eval()
    conversion = decoder_to_ours(state, AVCAP, projection=True, ignored=("av_encoder.",))
    decoder.load_state_dict({name.removeprefix("decoder."): value for name, value in conversion.state.items()})
    with torch.no_grad():
        x = joint_tokens(
            state,
            inputs["audio"],
            inputs["visual"],
            heads=config["num_heads"],
            depth=config["modality_specific_depth"],
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


@pytest.mark.parametrize(
    ("name", "search", "beams"),
    [
        ("beam", GeneratorBeamSearch(), 4),
        ("greedy", GeneratorBeamSearch(), 1),
        ("autoregressive", AutoRegressiveBeamSearch(), 4),
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
