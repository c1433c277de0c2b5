"""Operations on the parts of a model: encode a batch, load published weights, make them without memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import nn

from avcap.checkpoints.loading import filled_later
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


def load_pretrained(
    network: nn.Module, names: Iterable[str], *, held: Collection[str] = (), assigned: bool = False
) -> None:
    """Load the weights that parts name in ``pretrained``; parts without it stay as they are.

    Args:
        network: The module that has the parts.
        names: Names of the parts.
        held: Names of the weights of ``network`` that are loaded next. A part all of whose weights are among them reads no
            file, unless it has no room for them: its tensors are on the meta device. So does a module of a part that has
            a file of its own.
        assigned: The weights in ``held`` will be put in the place of the part's own, which may then be on the meta device.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: if a file does not fit its part.
    """
    for name in names:
        part = getattr(network, name)
        if isinstance(part, Pretrainable) and part.pretrained is not None:
            module = network.get_submodule(name)
            modules = module.named_modules(prefix=name) if held else [(name, module)]
            brought = [
                inner for path, inner in modules if is_held(inner, path, held) and _has_room(inner, assigned=assigned)
            ]
            if module not in brought:
                with filled_later(brought):
                    part.load_pretrained()


def is_held(part: nn.Module, name: str, held: Collection[str]) -> bool:
    """Return whether ``held`` has every weight of the part called ``name``."""
    return all(f"{name}.{key}" in held for key in part.state_dict())


def _has_room(part: nn.Module, *, assigned: bool) -> bool:
    """Return whether no tensor stays on the meta device if the state of the part is loaded, or assigned."""
    own = part.state_dict()
    tensors = chain(part.named_parameters(), part.named_buffers())
    return not any(tensor.is_meta for name, tensor in tensors if not (assigned and name in own))


@contextmanager
def empty_parameters() -> Iterator[None]:
    """Put the parameters of the modules that the block makes on the meta device, where they take no memory; buffers are made."""
    register = nn.Module.register_parameter

    def register_empty(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if param is not None and not param.is_meta:
            param = nn.Parameter(param.detach().to("meta"), requires_grad=param.requires_grad)
        register(self, name, param)

    nn.Module.register_parameter = register_empty  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]
