"""Frozen encoders: whether one gives the same tokens in every epoch, and a name for them."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import torch
from torch import nn

from avcap.encoders.base import AudioEncoder, Encoder

_OF_NO_MATTER = {"training", "pretrained", "name_or_path"}


def is_frozen(encoder: Encoder) -> bool:
    """Return whether an encoder has weights, learns none of them, and does the same to a clip each time, as its modules are set now."""
    weights = list(encoder.parameters())
    return bool(weights) and not any(w.requires_grad for w in weights) and not any(map(_varies, encoder.modules()))


def token_name(encoder: Encoder) -> str:
    """Name the tokens of an encoder: equal for two only if classes, settings, weights and front end are.

    Returns:
        A short readable name, fit for a folder: ``ced_encoder_tokens-1a2b3c4d``.
    """
    modules = [[path, type(module).__qualname__, _settings(module)] for path, module in encoder.named_modules()]
    facts: list[Any] = [type(encoder).__module__, modules, encoder.input]
    if isinstance(encoder, AudioEncoder):
        facts += [encoder.frontend.fingerprint, encoder.frontend.shape, encoder.frontend.mean, encoder.frontend.std]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return f"{token_label(encoder)}-{digest.hexdigest()[:12]}"


def token_label(encoder: Encoder) -> str:
    """Return how the names of an encoder's tokens begin."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(encoder).__name__).lower() + "_tokens"


def _settings(module: nn.Module) -> dict[str, Any]:
    """Return the plain attributes of a module."""
    plain = (bool, int, float, str, tuple, type(None))
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and name not in _OF_NO_MATTER and isinstance(value, plain)
    }


def _varies(module: nn.Module) -> bool:
    """Return whether a module draws numbers, or learns statistics, as it is set now."""
    if not module.training:
        return False
    drops = (value for name, value in vars(module).items() if "drop" in name or name in ("p", "probability"))
    return isinstance(module, nn.modules.batchnorm._NormBase) or any(isinstance(p, float) and p > 0 for p in drops)
