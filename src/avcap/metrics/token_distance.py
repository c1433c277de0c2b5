"""How far the audio tokens of clips are from their image tokens, over a whole evaluation run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from avcap.layers.masking import have_both, mean_token, zero_padding
from avcap.metrics.wire import pack_rows, unpack_rows
from avcap.transport import mmd, sinkhorn_divergence
from avcap.types import Tokens


class TokenMeans(NamedTuple):
    """The mean tokens of clips, sorted by id, and the distances between their token sets."""

    ids: list[str]
    audio: Tensor  # [n, C]
    image: Tensor  # [n, C]
    mmd: Tensor  # [n]
    sinkhorn_divergence: Tensor  # [n]


class TokenDistance(Metric):
    """Mean distances between the two token sets of each clip, and how often a sound is nearest to its own frame.

    Clips that lack a stream take no part; clips that a distributed sampler repeats count once.

    Args:
        width: Channels of the tokens.
        blur: Length below which the Sinkhorn divergence blurs differences, in the unit of the tokens.

    Attributes:
        found: The clips of the last :meth:`compute`; None before.
    """

    full_state_update = False
    higher_is_better = False
    names: list[Tensor]
    audio: list[Tensor]
    image: list[Tensor]
    values: list[Tensor]

    def __init__(self, width: int, *, blur: float = 0.05) -> None:
        super().__init__()
        self.width, self.blur = width, blur
        self.found: TokenMeans | None = None
        for state in ("names", "audio", "image", "values"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, ids: Sequence[str], audio: Tokens, image: Tokens) -> None:
        """Add a batch of clips with audio tokens ``[B, Na, C]`` and image tokens ``[B, Nv, C]``."""
        both = have_both(audio, image)  # [B]
        audio, image = _only(audio, both), _only(image, both)
        if not len(audio.x):
            return
        whole = [name for name, there in zip(ids, both.tolist(), strict=True) if there]
        self.names.append(pack_rows(whole, device=self.device))
        self.audio.append(mean_token(audio))
        self.image.append(mean_token(image))
        discrepancy = mmd(audio.x, image.x, mask_x=audio.mask, mask_y=image.mask)
        divergence = sinkhorn_divergence(audio.x, image.x, mask_x=audio.mask, mask_y=image.mask, blur=self.blur)
        self.values.append(torch.stack([discrepancy, divergence], dim=1))  # [B, 2]

    def compute(self) -> dict[str, float]:
        """Compute the means over all clips.

        Returns:
            ``mmd``, ``sinkhorn_divergence``, and ``recall_1``: the share of clips whose mean audio token is nearer to the
            mean image token of their own than to that of any other clip.

        Raises:
            ValueError: If no clip had both streams.
        """
        names = unpack_rows(self.names)
        if not names:
            raise ValueError("No clip has both audio and video, so there is no distance to measure.")
        places = dict(zip(names, range(len(names)), strict=True))  # of each clip the last of its copies
        names = sorted(places)
        chosen = [places[name] for name in names]
        audio, image, values = (dim_zero_cat(state)[chosen] for state in (self.audio, self.image, self.values))
        self.found = TokenMeans(names, audio.cpu(), image.cpu(), *values.cpu().unbind(dim=1))
        nearest = torch.cdist(audio, image).argmin(dim=1)  # [n]
        own = nearest == torch.arange(len(names), device=nearest.device)
        return {
            "mmd": values[:, 0].mean().item(),
            "sinkhorn_divergence": values[:, 1].mean().item(),
            "recall_1": own.float().mean().item(),
        }

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather over processes; one without clips takes part with empty tensors of the right shape."""
        if not self.names:
            self.names.append(pack_rows([], device=self.device))
            self.audio.append(torch.zeros(0, self.width, device=self.device))
            self.image.append(torch.zeros(0, self.width, device=self.device))
            self.values.append(torch.zeros(0, 2, device=self.device))
        super().sync(*args, **kwargs)


def _only(tokens: Tokens, clips: Tensor) -> Tokens:
    return zero_padding(Tokens(tokens.x[clips].float(), tokens.full_mask()[clips]))
