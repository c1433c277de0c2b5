"""Operations on the parts of a model: encode a batch, load published weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from avcap.encoders.base import AudioEncoder, Encoder
from avcap.frontends import Inputs
from avcap.types import Batch, Pretrainable, Tokens


def encode(encoder: Encoder | None, batch: Batch) -> Tokens | None:
    """Encode the stream that an encoder reads; tokens that were made before, ``<input>_tokens`` of the batch, are taken as they are.

    Returns:
        The tokens; None where there is no encoder, or no such stream in the batch.
    """
    if encoder is None:
        return None
    name, made = encoder.input, f"{encoder.input}_tokens"
    entries: Mapping[str, Any] = batch
    if made in entries:
        dtype = next((weight.dtype for weight in encoder.parameters()), torch.float32)
        return Tokens(entries[made].to(dtype), entries.get(f"{made}_mask"), entries.get(f"{made}_time"))
    if name not in entries:
        return None
    return encoder(entries[name], entries.get(f"{name}_mask"), entries.get(f"{name}_time"))


def inputs_of(encoders: Iterable[Encoder]) -> Inputs:
    """Return what encoders read of a clip: their keys of a batch, and the front end of the audio encoder."""
    encoders = list(encoders)
    frontends = [encoder.frontend for encoder in encoders if isinstance(encoder, AudioEncoder)]
    return Inputs(next(iter(frontends), None), tuple(encoder.input for encoder in encoders))


def load_pretrained(parts: Iterable[nn.Module | None]) -> None:
    """Load the weights that parts name in ``pretrained``; parts without it stay as they are.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: if a file does not fit its part.
    """
    for part in parts:
        if isinstance(part, Pretrainable) and part.pretrained is not None:
            part.load_pretrained()
