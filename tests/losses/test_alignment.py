"""What all alignment objectives share, and what each adds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from avcap.losses import (
    AlignmentObjective,
    AlignmentOutput,
    AttentiveOTAlignment,
    ContrastiveAlignment,
    DebiasedTransport,
    ExactTransport,
    MMDAlignment,
    OTAlignment,
    SinkhornTransport,
    check_finite,
)
from avcap.transport import sinkhorn_divergence
from avcap.types import Tokens

WIDTH = 8
OBJECTIVES = {
    "mmd": MMDAlignment,
    "sinkhorn": OTAlignment,
    "exact": lambda: OTAlignment(distance=ExactTransport()),
    "debiased": lambda: OTAlignment(distance=DebiasedTransport()),
    "attentive": lambda: AttentiveOTAlignment(WIDTH, heads=2),
    "attentive_debiased": lambda: AttentiveOTAlignment(WIDTH, heads=2, distance=DebiasedTransport()),
    "contrastive": ContrastiveAlignment,
}
ALL = pytest.mark.parametrize("name", OBJECTIVES)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def streams(B: int = 4, Na: int = 6, Nv: int = 9) -> tuple[Tokens, Tokens]:
    return Tokens(torch.randn(B, Na, WIDTH)), Tokens(torch.randn(B, Nv, WIDTH) + 0.5)


def total(out: AlignmentOutput) -> Tensor:
    return out.loss if out.scorer_loss is None else out.loss + out.scorer_loss


@ALL
def test_the_loss_is_the_mean_over_clips_and_falls_along_its_gradient(name: str) -> None:
    objective, (audio, image) = OBJECTIVES[name](), streams()
    points = nn.Parameter(audio.x)
    out = objective(Tokens(points), image, epoch=1)
    assert out.loss.shape == ()
    assert out.per_clip.shape == (4,)
    torch.testing.assert_close(out.loss, out.per_clip.mean())
    assert all(not log.requires_grad for log in out.logs.values())
    (gradient,) = torch.autograd.grad(out.loss, points)
    step = 0.05 * out.loss.item() / gradient.square().sum()
    assert objective(Tokens(points - step * gradient), image, epoch=1).loss < out.loss


@ALL
def test_padding_is_as_good_as_removed_whatever_it_holds(name: str) -> None:
    objective, (audio, image) = OBJECTIVES[name](), streams()
    mask = torch.ones(4, 9, dtype=torch.bool)
    mask[:, 6:] = False
    garbage = torch.cat([audio.x, torch.full((4, 3, WIDTH), torch.nan)], dim=1).requires_grad_()
    padded = objective(Tokens(garbage, mask), Tokens(image.x, torch.ones_like(mask)), epoch=3)
    plain = objective(audio, image, epoch=3)
    torch.testing.assert_close(padded.per_clip, plain.per_clip, rtol=2e-3, atol=1e-5)  # Sinkhorn's tolerance
    total(padded).backward()
    assert garbage.grad[:, 6:].eq(0).all()


@ALL
def test_a_clip_that_lacks_a_stream_takes_no_part(name: str) -> None:
    objective, (audio, image) = OBJECTIVES[name](), streams()
    mask = torch.ones(4, 6, dtype=torch.bool)
    mask[1] = False
    points = nn.Parameter(audio.x)
    out = objective(Tokens(points, mask), image, epoch=3)
    kept = [0, 2, 3]
    alone = objective(Tokens(points[kept]), Tokens(image.x[kept]), epoch=3)
    assert out.per_clip[1] == 0
    torch.testing.assert_close(out.per_clip[kept], alone.per_clip, rtol=2e-3, atol=1e-5)
    torch.testing.assert_close(total(out), total(alone), rtol=2e-3, atol=1e-5)
    total(out).backward()
    assert points.grad[1].eq(0).all()
    assert torch.isfinite(points.grad).all()
    nobody = objective(Tokens(points, torch.zeros_like(mask)), image, epoch=3)
    assert total(nobody) == 0
    total(nobody).backward()


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "contrastive"])
def test_one_broken_clip_breaks_no_other(name: str) -> None:
    objective, (audio, image) = OBJECTIVES[name](), streams()
    audio.x[2, 0] = torch.nan
    out = objective(audio, image, epoch=1)
    assert out.per_clip.isfinite().tolist() == [True, True, False, True]
    with pytest.raises(ValueError, match=r"not finite for the clips c \(nan\); look"):
        check_finite(out.per_clip, ["a", "b", "c", "d"])
    check_finite(out.per_clip[:2], ["a", "b"])


@ALL
def test_is_float32_under_autocast(name: str) -> None:
    objective, (audio, image) = OBJECTIVES[name]().eval(), streams()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = objective(audio, image, epoch=1)
    assert torch.equal(under.per_clip, objective(audio, image, epoch=1).per_clip)


@ALL
def test_runs_on_the_meta_device(name: str) -> None:
    objective, (audio, image) = OBJECTIVES[name]().to("meta"), streams()
    out = objective(Tokens(audio.x.to("meta").requires_grad_()), Tokens(image.x.to("meta")), epoch=3)
    assert out.loss.shape == ()
    total(out).backward()


@pytest.mark.parametrize("epoch", [1, 2])
def test_each_parameter_has_the_gradient_of_its_own_loss_only(epoch: int) -> None:
    objective, (audio, image) = AttentiveOTAlignment(WIDTH, heads=2, distance=ExactTransport()), streams()
    assert len(objective.scorer_parameters()) == len(list(objective.parameters())) == 20
    points = nn.Parameter(audio.x)
    out = objective(Tokens(points), image, epoch=epoch)
    by_tokens = torch.autograd.grad(out.loss, points, retain_graph=True)[0]
    loss_by_scorers = torch.autograd.grad(out.loss, objective.scorer_parameters(), retain_graph=True, allow_unused=True)
    assert all(gradient is None for gradient in loss_by_scorers)
    total(out).backward()
    torch.testing.assert_close(points.grad, by_tokens)
    learn = [p.grad is not None and bool(p.grad.ne(0).any()) for p in objective.scorer_parameters()]
    assert any(learn) == (epoch > 1)


def reference(objective: AttentiveOTAlignment, audio: Tensor, image: Tensor, factor: float) -> tuple[Tensor, Tensor]:
    """Both losses as the official code has them, on one graph."""
    a = objective.audio_scorer(Tokens(audio), Tokens(image))
    b = objective.image_scorer(Tokens(image), Tokens(audio))
    cost = objective.distance(audio, image, a, b).mean()
    entropy = (torch.distributions.Categorical(a).entropy() + torch.distributions.Categorical(b).entropy()).mean()
    return cost, cost - factor * entropy


@pytest.mark.parametrize("official", [False, True])
def test_scorers_and_encoder_get_the_stated_gradients(official: bool) -> None:
    objective = AttentiveOTAlignment(
        WIDTH, heads=2, distance=ExactTransport(), entropy_weight=0.3, scorer_gradient_to_tokens=official
    ).double()
    audio, image = (nn.Parameter(t.x.double()) for t in streams())
    main, scorer = reference(objective, audio, image, 0.3 * 3)
    expected = torch.autograd.grad(main + scorer if official else main, (audio, image), retain_graph=True)
    by_scorers = torch.autograd.grad(scorer, objective.scorer_parameters())
    out = objective(Tokens(audio), Tokens(image), epoch=4)
    torch.testing.assert_close((out.loss, out.scorer_loss), (main, scorer))
    total(out).backward()
    torch.testing.assert_close((audio.grad, image.grad), expected, rtol=1e-7, atol=1e-10)
    ours = [parameter.grad for parameter in objective.scorer_parameters()]
    torch.testing.assert_close(ours, list(by_scorers), rtol=1e-7, atol=1e-10)


def test_entropy_factor_falls_as_in_the_official_code() -> None:
    objective = AttentiveOTAlignment(WIDTH)
    assert [objective.entropy_factor(epoch) for epoch in range(2, 9)] == [500, 400, 300, 200, 100, 100, 100]


def test_a_high_entropy_weight_makes_the_masses_uniform() -> None:
    audio, image = streams()
    objective = AttentiveOTAlignment(WIDTH, heads=2)
    for parameter in objective.parameters():
        nn.init.normal_(parameter)
    optimizer = torch.optim.Adam(objective.scorer_parameters(), lr=0.05)
    start = objective(audio, image, epoch=9).logs["entropy"]
    for _ in range(40):
        optimizer.zero_grad()
        out = objective(audio, image, epoch=9)
        out.scorer_loss.backward()
        optimizer.step()
    uniform = torch.tensor(6.0).log() + torch.tensor(9.0).log()
    assert uniform - start > 0.01
    assert uniform - out.logs["entropy"] < 0.3 * (uniform - start)


def test_contrastive_is_cross_entropy_both_ways() -> None:
    audio, image = streams()
    a, v = (nn.functional.normalize(t.x.mean(1), dim=1) for t in (audio, image))
    scores, own = a @ v.T / 0.05, torch.arange(4)
    expected = (nn.functional.cross_entropy(scores, own) + nn.functional.cross_entropy(scores.T, own)) / 2
    torch.testing.assert_close(ContrastiveAlignment()(audio, image, epoch=1).loss, expected)
    same = ContrastiveAlignment()(audio, audio, epoch=1)
    assert same.logs["accuracy"] == 1


def test_debiased_distance_is_twice_the_divergence_at_its_blur() -> None:
    audio, image = streams(B=1)
    mean = (audio.x.unsqueeze(2) - image.x.unsqueeze(1)).square().sum(-1).mean()
    out = OTAlignment(distance=DebiasedTransport(epsilon=0.02, scaling=0.7))(audio, image, epoch=1)
    expected = 2 * sinkhorn_divergence(audio.x, image.x, blur=float((0.01 * mean).sqrt()), scaling=0.7)
    torch.testing.assert_close(out.per_clip, expected, rtol=1e-3, atol=0)
    assert OTAlignment(distance=DebiasedTransport())(audio, audio, epoch=1).loss < 1e-4


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MMDAlignment(kernels=0), "kernels is 0"),
        (lambda: ContrastiveAlignment(temperature=0), "temperature is 0"),
        (lambda: SinkhornTransport(tolerance=0), "tolerance above 0"),
        (lambda: DebiasedTransport(scaling=1), "scaling between 0 and 1"),
        (lambda: AttentiveOTAlignment(10, heads=4), "width 10 cannot have 4 heads"),
        (lambda: AttentiveOTAlignment(WIDTH, entropy_weight=-1), "entropy_weight is -1"),
        (lambda: AttentiveOTAlignment(16)(*streams(), epoch=1), "audio tokens have 8 channels"),
    ],
)
def test_wrong_settings_are_named(build: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_the_contract_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        AlignmentObjective()
