"""The label-smoothed divergence against its definition, and against a cross-entropy."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from avcap.losses.avcap_caption_loss import smoothed_divergence


def written_out(logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
    words = logits.shape[1]
    q = torch.full_like(logits, smoothing / (words - 1)).scatter(1, targets[:, None], 1 - smoothing)
    return F.kl_div(logits.log_softmax(dim=1), q, reduction="batchmean")


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("words", [2, 30, 30522])
def test_value_and_gradient_are_those_of_the_definition(smoothing: float, words: int) -> None:
    torch.manual_seed(0)
    logits = (3 * torch.randn(6, words, dtype=torch.float64)).requires_grad_()
    targets = torch.randint(words, (6,))
    expected = written_out(logits, targets, smoothing)
    (gradient,) = torch.autograd.grad(expected, logits)
    single = logits.detach().float().requires_grad_()
    loss = smoothed_divergence(single, targets, smoothing=smoothing)
    (own,) = torch.autograd.grad(loss, single)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(own, gradient.float(), rtol=1e-4, atol=1e-7)


def test_it_differs_from_a_cross_entropy_by_a_constant_and_by_its_share() -> None:
    torch.manual_seed(0)
    words, e = 30522, 0.1
    logits, targets = torch.randn(5, words, dtype=torch.float64), torch.randint(words, (5,))
    # e / (V - 1) on the others is torch's smoothing with e' = e V / (V - 1)
    entropy = F.cross_entropy(logits, targets, label_smoothing=e * words / (words - 1))
    constant = (1 - e) * math.log(1 - e) + e * math.log(e / (words - 1))
    assert constant == pytest.approx(-1.3577, abs=1e-4)
    assert float(smoothed_divergence(logits, targets, smoothing=e)) == pytest.approx(
        float(entropy) + constant, abs=1e-5
    )


def test_it_is_zero_at_its_own_target_and_never_less() -> None:
    q = torch.full((4, 10), 0.1 / 9).scatter(1, torch.arange(4)[:, None], 0.9)
    assert float(smoothed_divergence(q.log() + 5.0, torch.arange(4))) == pytest.approx(0.0, abs=1e-6)
    torch.manual_seed(0)
    for scale in (0.1, 1.0, 20.0):
        assert float(smoothed_divergence(scale * torch.randn(50, 10), torch.randint(10, (50,)))) > 0


def test_half_precision_logits_are_summed_in_single() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(4, 30522).bfloat16(), torch.randint(30522, (4,))
    expected = written_out(logits.double(), targets, 0.1)
    assert float(smoothed_divergence(logits, targets)) == pytest.approx(float(expected), rel=1e-5)


def test_no_predicted_word_gives_zero_with_a_graph() -> None:
    logits = torch.zeros(0, 7, requires_grad=True)
    loss = smoothed_divergence(logits, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0.0


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_smoothing_out_of_range(smoothing: float) -> None:
    with pytest.raises(ValueError, match="label_smoothing is"):
        smoothed_divergence(torch.zeros(1, 3), torch.zeros(1, dtype=torch.long), smoothing=smoothing)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"logits \[M, V\] and targets \[M\], not \[2, 3\] and \[1\]"):
        smoothed_divergence(torch.zeros(2, 3), torch.zeros(1, dtype=torch.long))
