"""Parity with the official DALI code: every stored output. Tolerances are those of the case file."""

from __future__ import annotations

import pytest
import torch

from avcap.losses import AttentiveOTAlignment, ExactTransport, MMDAlignment, OTAlignment
from avcap.transport.mmd import mean_squared_distance
from avcap.types import Tokens
from tests.golden import golden

CASE = "dali_losses"
PARTS = {  # official name -> ours; the official image_scorer weighs the audio tokens
    "image_scorer": "audio_scorer.attention",
    "a_q": "audio_scorer.query",
    "i_k": "audio_scorer.key",
    "i_v": "audio_scorer.value",
    "audio_scorer": "image_scorer.attention",
    "i_q": "image_scorer.query",
    "a_k": "image_scorer.key",
    "a_v": "image_scorer.value",
}


@pytest.fixture
def case() -> tuple[dict, object]:
    return golden.load(CASE)


@pytest.fixture
def streams(case: tuple[dict, object]) -> tuple[Tokens, Tokens]:
    arrays = golden.inputs(case[0])
    audio = torch.from_numpy(arrays["audio_tokens"]).requires_grad_()
    return Tokens(audio), Tokens(torch.from_numpy(arrays["image_tokens"]))


def attentive(manifest: dict, **settings: object) -> AttentiveOTAlignment:
    config = manifest["config"]
    objective = AttentiveOTAlignment(config["dim"], heads=config["heads"], distance=ExactTransport(), **settings)
    state = {}
    for name, value in golden.state_dict(manifest).items():
        part, rest = name.split(".", 1)
        state[f"{PARTS[part]}.{rest}"] = torch.from_numpy(value.copy())
    objective.load_state_dict(state)
    return objective.train()


def test_mmd(case: tuple[dict, object], streams: tuple[Tokens, Tokens]) -> None:
    audio, image = streams
    out = MMDAlignment()(audio, image, epoch=1)
    out.loss.backward()
    golden.check(*case, "mmd_bandwidth", mean_squared_distance(audio.x, image.x).detach().numpy())
    golden.check(*case, "mmd", out.per_clip.detach().numpy())
    golden.check(*case, "mmd_loss", out.loss.detach().numpy())
    golden.check(*case, "mmd_grad_audio", audio.x.grad.numpy())


def test_exact_transport(case: tuple[dict, object], streams: tuple[Tokens, Tokens]) -> None:
    audio, image = streams
    out = OTAlignment(distance=ExactTransport())(audio, image, epoch=1)
    out.loss.backward()
    golden.check(*case, "emd_uniform", out.per_clip.detach().numpy())
    golden.check(*case, "emd_uniform_loss", out.loss.detach().numpy())
    golden.check(*case, "emd_uniform_grad_audio", audio.x.grad.numpy())


def test_scorers(case: tuple[dict, object], streams: tuple[Tokens, Tokens]) -> None:
    audio, image = streams
    objective = attentive(case[0])
    for name, scorer, tokens, other in (
        ("audio", objective.audio_scorer, audio, image),
        ("image", objective.image_scorer, image, audio),
    ):
        golden.check(*case, f"{name}_scores", scorer.scores(tokens, other).detach().numpy())
        mass = scorer(tokens, other).detach()
        golden.check(*case, f"{name}_weights", mass.numpy())
        golden.check(*case, f"entropy_{name}", torch.distributions.Categorical(probs=mass).entropy().numpy())


def test_both_losses_over_the_epochs(case: tuple[dict, object], streams: tuple[Tokens, Tokens]) -> None:
    audio, image = streams
    objective = attentive(case[0])
    outs = [objective(audio, image, epoch=epoch) for epoch in range(1, 9)]
    assert outs[0].scorer_loss is None  # the stored value is the main loss there
    golden.check(*case, "emd_attentive", outs[0].per_clip.detach().numpy())
    golden.check(*case, "main_loss", outs[0].loss.detach().numpy())
    golden.check(*case, "entropy_mean", outs[0].logs["entropy"].numpy())
    losses = [out.loss if out.scorer_loss is None else out.scorer_loss for out in outs]
    golden.check(*case, "scorer_loss_epochs_1_to_8", torch.stack(losses).detach().numpy())


@pytest.mark.parametrize("epoch", [1, 3])
def test_the_encoders_gradient_is_that_of_the_main_loss(
    case: tuple[dict, object], streams: tuple[Tokens, Tokens], epoch: int
) -> None:
    audio, image = streams
    out = attentive(case[0])(audio, image, epoch=epoch)
    (out.loss if out.scorer_loss is None else out.loss + out.scorer_loss).backward()
    golden.check(*case, "main_loss_grad_audio", audio.x.grad.numpy())


def test_validation_weighs_all_tokens_the_same(case: tuple[dict, object], streams: tuple[Tokens, Tokens]) -> None:
    out = attentive(case[0]).eval()(*streams, epoch=8)
    golden.check(*case, "emd_uniform", out.per_clip.detach().numpy())
    assert out.scorer_loss is None


def test_every_stored_output_is_covered(case: tuple[dict, object]) -> None:
    covered = {
        *("mmd", "mmd_bandwidth", "mmd_loss", "mmd_grad_audio"),
        *("emd_uniform", "emd_uniform_loss", "emd_uniform_grad_audio", "emd_attentive"),
        *(f"{name}_{what}" for name in ("audio", "image") for what in ("scores", "weights")),
        *("entropy_audio", "entropy_image", "entropy_mean"),
        *("main_loss", "main_loss_grad_audio", "scorer_loss_epochs_1_to_8"),
    }
    assert covered == {output["name"] for output in case[0]["outputs"]}
