"""Both streams in one sequence, in the order of time."""

from __future__ import annotations

import torch

from avcap.fusion.two_stream import TwoStreamFusion
from avcap.layers.masking import concat_time
from avcap.types import FusionOutput, Tokens


class Interleaved(TwoStreamFusion):
    """Audio tokens and visual tokens in one sequence in the order of time, so that tokens of the same time are neighbours.

    Tokens of one time keep their order, sound first; padding, and tokens whose own time is not known, come last. Tokens are
    neither aligned nor normalised.
    """

    def fuse(self, audio: Tokens, video: Tokens) -> FusionOutput:
        """Fuse ``[B, Na, C], [B, Nv, C] -> [B, Na + Nv, C]``.

        Raises:
            ValueError: if the times of a stream are not known.
        """
        for stream, tokens in (("audio", audio), ("visual", video)):
            if tokens.time is None and tokens.x.shape[1]:
                raise ValueError(
                    f"Interleaved orders tokens by time, but the {stream} tokens have none; an encoder gives Tokens.time, from the "
                    "times of its input in the batch."
                )
        both = concat_time(audio, video)
        mask, time = both.mask, both.full_time()  # [B, Na + Nv]
        known = time if mask is None else time.masked_fill(~mask, torch.nan)
        order = known.argsort(dim=1, stable=True)  # [B, Na + Nv], NaN last
        rows = torch.take_along_dim(both.x, order.unsqueeze(-1), dim=1)  # [B, Na + Nv, C]
        return FusionOutput(
            Tokens(rows, None if mask is None else mask.gather(1, order), time.gather(1, order)), {}, {}
        )
