"""Alignment by optimal transport with learned masses (DALI's attentive OT)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from avcap.layers.masking import zero_padding
from avcap.losses.dali_objective import AlignmentObjective, AlignmentOutput, mean_over_clips
from avcap.losses.dali_ot import uniform_masses
from avcap.losses.dali_token_scorer import TokenScorer
from avcap.losses.dali_transport_distance import SinkhornTransport, TransportDistance
from avcap.types import Tokens


class AttentiveOTAlignment(AlignmentObjective):
    """Transport cost with the masses of two scorers, which seek a low cost and a high entropy of their masses.

    The encoder minimises the cost ``W(a, b)``; its gradient passes through the tokens and, by the dual potentials, through the
    masses. The scorers minimise ``W(a, b) - weight(epoch) (H(a) + H(b))``, ``weight`` falling linearly over the epochs to
    ``entropy_weight``: 500, 400, 300, 200, 100 in epochs 2 to 6 at the defaults. In epoch 1 they rest, but their masses count.
    In evaluation mode the masses are uniform.

    Args:
        width: Channels of the tokens.
        heads: Attention heads of the scorers.
        distance: How the transport cost is computed; None: ``SinkhornTransport``.
        entropy_weight: Weight of the entropies at the end of its fall, in the unit of the cost.
        fall_epochs: The weight is ``entropy_weight * max(1, fall_epochs - epoch)``.
        rest_epochs: Epochs in which the scorers do not learn.
        scorer_gradient_to_tokens: The scorers' loss has a gradient by the tokens as well, so that the encoder receives twice
            the gradient of the cost minus that of the weighted entropies: what the official code does, where both backward
            passes add up. By default the encoder minimises the cost alone.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int = 8,
        distance: TransportDistance | None = None,
        entropy_weight: float = 100.0,
        fall_epochs: int = 7,
        rest_epochs: int = 1,
        scorer_gradient_to_tokens: bool = False,
    ) -> None:
        super().__init__()
        if entropy_weight < 0:
            raise ValueError(f"entropy_weight is {entropy_weight}, it must be 0 or above.")
        self.width = width
        self.audio_scorer = TokenScorer(width, heads=heads)  # weighs the audio tokens
        self.image_scorer = TokenScorer(width, heads=heads)
        self.distance = distance or SinkhornTransport()
        self.entropy_weight = entropy_weight
        self.fall_epochs = fall_epochs
        self.rest_epochs = rest_epochs
        self.scorer_gradient_to_tokens = scorer_gradient_to_tokens

    def scorer_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of both scorers."""
        return [*self.audio_scorer.parameters(), *self.image_scorer.parameters()]

    def entropy_factor(self, epoch: int) -> float:
        """Return the weight of the entropies in the scorers' loss in an epoch, counted from 1."""
        return self.entropy_weight * max(1, self.fall_epochs - epoch)

    def forward(self, audio: Tokens, image: Tokens, *, epoch: int) -> AlignmentOutput:
        """Compare tokens ``[B, Na, C]`` and ``[B, Nv, C]``; the logs hold the entropy, and the weights' share of its maximum."""
        self._check_width(audio, image)
        audio, image = zero_padding(audio), zero_padding(image)
        if not self.training:
            cost = self.distance(audio.x, image.x, uniform_masses(audio), uniform_masses(image))
            loss, per_clip = mean_over_clips(cost, audio, image)
            return AlignmentOutput(loss, per_clip, {"transport": loss.detach()})
        masses = self._masses(audio, image, trained=False)  # [B, Na], [B, Nv]
        cost, potentials = self._solve(audio, image, masses)
        loss, per_clip = mean_over_clips(cost + _first_order(potentials, masses), audio, image)
        entropy, _ = mean_over_clips(_entropies(masses).detach(), audio, image)
        scorer_loss = None
        if epoch > self.rest_epochs:
            tokens_count = self.scorer_gradient_to_tokens
            seen = (audio, image) if tokens_count else (_detached(audio), _detached(image))
            masses = self._masses(*seen, trained=True)
            reward = self.entropy_factor(epoch) * _entropies(masses)  # [B]
            cost = cost if tokens_count else cost.detach()
            scorer_loss, _ = mean_over_clips(cost + _first_order(potentials, masses) - reward, audio, image)
        return AlignmentOutput(loss, per_clip, {"transport": loss.detach(), "entropy": entropy}, scorer_loss)

    def _masses(self, audio: Tokens, image: Tokens, *, trained: bool) -> tuple[Tensor, Tensor]:
        """Compute masses ``[B, Na]``, ``[B, Nv]``; the scorers' parameters are constants unless ``trained``."""
        return (
            _call(self.audio_scorer, audio, image, trained=trained),
            _call(self.image_scorer, image, audio, trained=trained),
        )

    def _solve(
        self, audio: Tokens, image: Tokens, masses: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Compute the costs ``[B]`` with a gradient for the tokens, and the costs' gradients for the masses (the dual potentials)."""
        with torch.enable_grad():
            a, b = (mass.detach().requires_grad_() for mass in masses)
            cost = self.distance(audio.x, image.x, a, b)
            of_a, of_b = torch.autograd.grad(cost.sum(), (a, b), retain_graph=True)
        return cost, (of_a, of_b)

    def _check_width(self, audio: Tokens, image: Tokens) -> None:
        for name, tokens in (("audio", audio), ("image", image)):
            if tokens.x.shape[-1] != self.width:
                raise ValueError(
                    f"AttentiveOTAlignment has width {self.width}, but the {name} tokens have {tokens.x.shape[-1]} channels."
                )


def _first_order(potentials: tuple[Tensor, Tensor], masses: tuple[Tensor, Tensor]) -> Tensor:
    """Return 0 ``[B]`` with the gradient of the transport cost for the masses."""
    (f, g), (a, b) = potentials, masses
    return (f * (a - a.detach())).sum(dim=1) + (g * (b - b.detach())).sum(dim=1)


def _entropies(masses: tuple[Tensor, Tensor]) -> Tensor:
    """Add the entropies of both masses ``[B]``."""
    return _entropy(masses[0]) + _entropy(masses[1])


def _entropy(mass: Tensor) -> Tensor:
    """Compute ``-sum m log m`` in nats ``[B]``."""
    return -torch.xlogy(mass, torch.where(mass > 0, mass, 1)).sum(dim=1)


def _call(scorer: TokenScorer, tokens: Tokens, other: Tokens, *, trained: bool) -> Tensor:
    if trained:
        return scorer(tokens, other)
    constants = {name: parameter.detach() for name, parameter in scorer.named_parameters()}
    return functional_call(scorer, constants, (tokens, other))


def _detached(tokens: Tokens) -> Tokens:
    return tokens._replace(x=tokens.x.detach())
